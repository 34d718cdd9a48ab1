"""The admin site: a door like the others, for those whose role is admin.

What is shown is read through Django's ``ModelAdmin``; what changes anything is an operation of the
domain. Reading what others wrote is recorded, and so is every change.
"""

from django.contrib import admin
from django.contrib.auth.models import Group
from knox.models import get_token_model

from parley.accounts.models import AuditEntry, User
from parley.conversations.models import Conversation
from parley.messaging.models import Message
from parley.ops.admin.conversations import ConversationAdmin
from parley.ops.admin.messages import MessageAdmin
from parley.ops.admin.people import UserAdmin
from parley.ops.admin.records import AuditEntryAdmin
from parley.ops.admin.signing_in import SignInForm

site = admin.site
site.site_header = "Parley"
site.site_title = "Parley"
site.index_title = "Administration"
site.login_form = SignInForm
# Rights follow from the role, and tokens are shown to their owners alone.
for unused in (Group, get_token_model()):
    if site.is_registered(unused):
        site.unregister(unused)
site.register(User, UserAdmin)
site.register(Conversation, ConversationAdmin)
site.register(Message, MessageAdmin)
site.register(AuditEntry, AuditEntryAdmin)
