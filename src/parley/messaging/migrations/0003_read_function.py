"""Widen: ``parley_read``, which reads a conversation up to a message in one round trip on PostgreSQL."""

from __future__ import annotations

from typing import Any

from django.db import migrations

# What ``operations.read_up_to`` does, under the lock of the person's own row. No row comes back where the person
# is not in the conversation. ``has_changed`` says whether anything was written, ``receipt_rose`` whether others
# see them further than before. Flags: 1 read, 2 kept, 4 removed.
INSTALL = """
CREATE FUNCTION parley_read(viewer uuid, conversation uuid, upto_seq bigint, furthest bigint, scan bigint)
RETURNS TABLE (
    new_read_seq bigint, new_watermark bigint, unread bigint, has_changed boolean, receipt_rose boolean)
LANGUAGE plpgsql
SET plan_cache_mode = force_generic_plan
SET enable_seqscan = off
AS $$
#variable_conflict use_column
DECLARE
    g bigint;
    opened bigint;
    settled_now bigint;
    at timestamptz;
    has_entered boolean := false;
    mine conversations_participant%ROWTYPE;
    talk record;
    upto bigint;
    stop bigint;
    waiting bigint;
    start bigint;
    has_dropped boolean := false;
BEGIN
    FOR attempt IN 1..100 LOOP
        SELECT f.current, clock_timestamp() INTO g, at FROM conversations_fence f WHERE f.id = 1;
        IF NOT FOUND THEN
            INSERT INTO conversations_fence (id, current, settled) VALUES (1, 1, 0) ON CONFLICT DO NOTHING;
            CONTINUE;
        END IF;
        CONTINUE WHEN NOT pg_try_advisory_xact_lock_shared(1346458188, g::integer);
        SELECT f.current, f.settled INTO opened, settled_now FROM conversations_fence f WHERE f.id = 1;
        has_entered := settled_now < g AND g <= opened;
        EXIT WHEN has_entered;
    END LOOP;
    IF NOT has_entered THEN
        RAISE EXCEPTION 'the fence lets nobody in: no generation could be locked';
    END IF;

    SELECT p.* INTO mine FROM conversations_participant p
     WHERE p.user_id = viewer AND p.conversation_id = conversation AND p.left_at IS NULL
       FOR NO KEY UPDATE;
    IF NOT FOUND THEN
        RETURN;
    END IF;
    SELECT c.last_seq, c.purged_seq INTO talk FROM conversations_conversation c
     WHERE c.conversation_id = conversation;

    upto := least(coalesce(upto_seq, talk.last_seq), talk.last_seq);
    new_watermark := greatest(mine.watermark, upto);
    new_read_seq := greatest(mine.read_seq, upto);
    UPDATE messaging_mark k SET flags = k.flags - 2, version = mine.version + 1, gen = greatest(mine.gen, g)
     WHERE k.user_id = viewer AND k.conversation_id = conversation AND k.flags IN (2, 3, 6, 7, 10, 11, 14, 15)
       AND k.seq <= upto;
    has_dropped := FOUND;

    new_watermark := greatest(new_watermark, mine.visible_after, talk.purged_seq);
    stop := least(new_watermark + furthest, talk.last_seq);
    IF new_watermark < stop THEN
        SELECT m.seq INTO waiting FROM messaging_message m
         WHERE m.conversation_id = conversation AND m.seq > new_watermark AND m.seq <= stop
           AND m.retracted_at IS NULL AND m.sender_id <> viewer
           AND NOT EXISTS (
               SELECT FROM messaging_mark k
                WHERE k.user_id = viewer AND k.conversation_id = conversation AND k.seq = m.seq
                  AND k.flags & 5 <> 0)
         ORDER BY m.seq LIMIT 1;
        new_watermark := greatest(new_watermark, coalesce(waiting - 1, stop));
    END IF;
    new_read_seq := greatest(new_read_seq, new_watermark);
    UPDATE messaging_mark k SET flags = k.flags - 1, version = mine.version + 1, gen = greatest(mine.gen, g)
     WHERE k.user_id = viewer AND k.conversation_id = conversation AND k.flags IN (1, 3, 5, 7, 9, 11, 13, 15)
       AND k.seq <= new_watermark;

    has_changed := has_dropped OR new_watermark <> mine.watermark OR new_read_seq <> mine.read_seq
                   OR new_read_seq > mine.delivered_seq;
    receipt_rose := new_read_seq > mine.read_seq;
    IF has_changed THEN
        UPDATE conversations_participant p
           SET watermark = new_watermark, read_seq = new_read_seq,
               delivered_seq = greatest(p.delivered_seq, new_read_seq), version = p.version + 1,
               gen = greatest(p.gen, g), changed_at = greatest(p.changed_at, at)
         WHERE p.user_id = viewer AND p.conversation_id = conversation;
    END IF;

    start := greatest(new_watermark, mine.visible_after, talk.purged_seq);
    unread := 0;
    IF start < talk.last_seq THEN
        SELECT count(*) INTO unread FROM messaging_message m
          LEFT JOIN messaging_mark k
            ON k.user_id = viewer AND k.conversation_id = m.conversation_id AND k.seq = m.seq
         WHERE m.conversation_id = conversation AND m.seq > start AND m.seq <= start + 4 * scan
           AND m.sender_id <> viewer AND m.retracted_at IS NULL AND coalesce(k.flags, 0) & 5 = 0;
    END IF;
    SELECT unread + count(*) INTO unread FROM messaging_mark k
      JOIN messaging_message m ON m.conversation_id = k.conversation_id AND m.seq = k.seq
     WHERE k.user_id = viewer AND k.conversation_id = conversation AND k.flags IN (2, 3, 10, 11)
       AND k.seq > mine.visible_after AND k.seq > talk.purged_seq AND m.retracted_at IS NULL;
    unread := least(unread, scan);
    RETURN NEXT;
END
$$
"""
REMOVE = "DROP FUNCTION parley_read"


def install(_apps: Any, schema_editor: Any) -> None:
    if schema_editor.connection.vendor == "postgresql":
        schema_editor.execute(INSTALL, params=None)  # "%" is its own


def remove(_apps: Any, schema_editor: Any) -> None:
    if schema_editor.connection.vendor == "postgresql":
        schema_editor.execute(REMOVE)


class Migration(migrations.Migration):
    dependencies = [("messaging", "0002_send_function")]
    operations = [migrations.RunPython(install, remove)]
