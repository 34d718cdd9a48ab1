"""Whose direct messages I refuse."""

from __future__ import annotations

from uuid import UUID

from rest_framework import status
from rest_framework.request import Request
from rest_framework.response import Response

from parley.api.bases import BaseViewSet
from parley.api.schema import PAGED, operation, page_of
from parley.api.serializers import BlockSerializer
from parley.conversations import operations, queries
from parley.conversations.operations import NotOneself
from parley.kernel.errors import NotFound


class BlockViewSet(BaseViewSet):
    """People whose direct messages I refuse, at every door."""

    @operation(answers={200: page_of(BlockSerializer)}, takes=PAGED)
    def list(self, request: Request) -> Response:
        """Everyone I block."""
        found = queries.list_blocks(viewer=self.viewer, position=self.position, size=self.size)
        return self.page(found, BlockSerializer, lambda block: [block.user_id])

    @operation(answers={200: BlockSerializer}, refuses=(NotFound,))
    def retrieve(self, request: Request, user_id: UUID) -> Response:
        """Whether I block someone: 404 if not."""
        block = queries.get_block(viewer=self.viewer, user_id=user_id)
        return self.shown(BlockSerializer, block, self.people([block.user_id]))

    @operation(answers={204: None}, refuses=(NotFound, NotOneself))
    def update(self, request: Request, user_id: UUID) -> Response:
        """Refuse someone's direct messages."""
        operations.block(blocker=self.viewer, user_id=user_id)
        return Response(status=status.HTTP_204_NO_CONTENT)

    @operation(answers={204: None}, refuses=(NotFound, NotOneself))
    def destroy(self, request: Request, user_id: UUID) -> Response:
        """Accept them again."""
        operations.unblock(blocker=self.viewer, user_id=user_id)
        return Response(status=status.HTTP_204_NO_CONTENT)
