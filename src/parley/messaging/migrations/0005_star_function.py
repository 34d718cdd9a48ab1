"""Widen: ``parley_star``, which stars a message in one round trip on PostgreSQL."""

from __future__ import annotations

from typing import Any

from django.db import migrations

# What ``fence.enter`` does, for functions that begin with it.
INSTALL_ENTER = """
CREATE FUNCTION parley_enter(OUT g bigint, OUT at timestamptz)
LANGUAGE plpgsql
AS $$
DECLARE
    fence conversations_fence%ROWTYPE;
BEGIN
    FOR attempt IN 1..100 LOOP
        SELECT f.current, clock_timestamp() INTO g, at FROM conversations_fence f WHERE f.id = 1;
        IF NOT FOUND THEN
            INSERT INTO conversations_fence (id, current, settled) VALUES (1, 1, 0) ON CONFLICT DO NOTHING;
            CONTINUE;
        END IF;
        CONTINUE WHEN NOT pg_try_advisory_xact_lock_shared(1346458188, g::integer);
        SELECT f.* INTO fence FROM conversations_fence f WHERE f.id = 1;
        IF fence.settled < g AND g <= fence.current THEN
            RETURN;
        END IF;
    END LOOP;
    RAISE EXCEPTION 'the fence lets nobody in: no generation could be locked';
END
$$
"""
# What ``operations.set_message_starred`` does, under the lock of the person's own row. No row comes back where the
# message is not theirs to see. ``has_changed`` says whether anything was written. Flags: 4 removed, 8 starred.
INSTALL = """
CREATE FUNCTION parley_star(viewer uuid, message uuid, is_starred boolean)
RETURNS TABLE (said messaging_message, flags smallint, watermark bigint, has_changed boolean)
LANGUAGE plpgsql
ROWS 1
SET plan_cache_mode = force_generic_plan
SET enable_seqscan = off
AS $$
#variable_conflict use_column
DECLARE
    entered record;
    mine conversations_participant%ROWTYPE;
    purged bigint;
    marked messaging_mark%ROWTYPE;
    before smallint;
BEGIN
    SELECT e.g, e.at INTO entered FROM parley_enter() AS e;
    SELECT m.* INTO said FROM messaging_message m WHERE m.message_id = message;
    IF NOT FOUND THEN
        RETURN;
    END IF;
    SELECT p.* INTO mine FROM conversations_participant p
     WHERE p.user_id = viewer AND p.conversation_id = said.conversation_id AND p.left_at IS NULL
       FOR NO KEY UPDATE;
    IF NOT FOUND THEN
        RETURN;
    END IF;
    SELECT c.purged_seq INTO purged FROM conversations_conversation c
     WHERE c.conversation_id = said.conversation_id;
    -- In an order that the key alone has: other indexes begin like it, and would walk all marks in a conversation.
    SELECT k.* INTO marked FROM messaging_mark k
     WHERE k.user_id = viewer AND k.conversation_id = said.conversation_id
       AND k.seq BETWEEN said.seq AND said.seq
     ORDER BY k.seq LIMIT 1;
    before := coalesce(marked.flags, 0);
    IF said.seq <= greatest(mine.visible_after, purged) OR before & 4 <> 0 THEN
        RETURN;
    END IF;

    flags := CASE WHEN is_starred THEN before | 8 ELSE before & ~8 END;
    IF flags <> before THEN
        INSERT INTO messaging_mark (
            user_id, conversation_id, seq, message_id, flags, version, gen, starred_sent_at)
        VALUES (viewer, said.conversation_id, said.seq, said.message_id, flags, mine.version + 1,
                greatest(mine.gen, entered.g), CASE WHEN is_starred THEN said.sent_at END)
        ON CONFLICT (user_id, conversation_id, seq) DO UPDATE
           SET flags = excluded.flags, version = excluded.version, gen = excluded.gen,
               starred_sent_at = excluded.starred_sent_at;
    END IF;
    watermark := mine.watermark;
    has_changed := flags <> before OR mine.read_seq > mine.delivered_seq;
    IF has_changed THEN
        UPDATE conversations_participant p
           SET delivered_seq = greatest(p.delivered_seq, p.read_seq), version = p.version + 1,
               gen = greatest(p.gen, entered.g), changed_at = greatest(p.changed_at, entered.at)
         WHERE p.user_id = viewer AND p.conversation_id = said.conversation_id;
    END IF;
    RETURN NEXT;
END
$$
"""


def install(_apps: Any, schema_editor: Any) -> None:
    if schema_editor.connection.vendor == "postgresql":
        for statement in (INSTALL_ENTER, INSTALL):
            schema_editor.execute(statement, params=None)  # "%" is its own


def remove(_apps: Any, schema_editor: Any) -> None:
    if schema_editor.connection.vendor == "postgresql":
        for name in ("parley_star", "parley_enter"):
            schema_editor.execute(f"DROP FUNCTION {name}")


class Migration(migrations.Migration):
    dependencies = [("messaging", "0004_listings")]
    operations = [migrations.RunPython(install, remove)]
