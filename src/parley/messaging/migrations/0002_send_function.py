"""Widen: ``parley_send``, which sends a batch of drafts in one round trip on PostgreSQL."""

from __future__ import annotations

from typing import Any

from django.db import migrations

# One transaction's drafts, one array a column. The fence is entered and the conversations are locked in statements
# of their own; the statement that decides and writes has a snapshot that follows those locks. Every plan is made
# once, for any batch, and by index: a plan made while the tables were small must not stay with a connection.
#
# For each draft one row, by its place: "new" (it is written), "twin" (the draft at ``twin`` bears its client id
# and its content), "known" (it was stored before; the columns from ``sender_id`` on are those of the message),
# "reused", "nowhere", "blocked", "no_reply"; "stuck" and "hidden" drafts are not touched: their conversation is
# locked by someone else, or is a direct one that somebody hid, which the caller brings back.
INSTALL = """
CREATE FUNCTION parley_send(
    message_ids uuid[], conversation_ids uuid[], direct_keys text[], sender_ids uuid[], subjects text[],
    bodies text[], client_ids text[], replies uuid[], named bytea[], waiting boolean)
RETURNS TABLE (
    place bigint, outcome text, conversation_id uuid, seq bigint, revision bigint, sent_at timestamptz,
    gen bigint, fingerprint bytea, twin bigint, message_id uuid, sender_id uuid, subject text,
    message_body text, client_id text, reply_to uuid, edited_at timestamptz, retracted_at timestamptz,
    flags smallint)
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
    wheres uuid[] := conversation_ids;
    held uuid[];
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

    IF array_position(wheres, NULL) IS NOT NULL THEN
        SELECT array_agg(coalesce(t.conversation_id, c.conversation_id) ORDER BY t.place) INTO wheres
          FROM unnest(conversation_ids, direct_keys) WITH ORDINALITY AS t (conversation_id, direct_key, place)
          LEFT JOIN conversations_conversation c ON c.direct_key = t.direct_key;
    END IF;

    IF waiting THEN
        SELECT array_agg(l.conversation_id) INTO held FROM (
            SELECT c.conversation_id FROM conversations_conversation c
             WHERE c.conversation_id = ANY (wheres) ORDER BY c.conversation_id FOR NO KEY UPDATE) AS l;
    ELSE
        SELECT array_agg(l.conversation_id) INTO held FROM (
            SELECT c.conversation_id FROM conversations_conversation c
             WHERE c.conversation_id = ANY (wheres) ORDER BY c.conversation_id
               FOR NO KEY UPDATE SKIP LOCKED) AS l;
    END IF;

    RETURN QUERY
    WITH talk AS MATERIALIZED (
        SELECT c.conversation_id, c.kind, c.last_seq, c.revision,
               greatest(c.gen, g) AS gen, greatest(at, c.active_at + interval '1 microsecond') AS at,
               c.kind = 'direct' AND EXISTS (
                   SELECT FROM conversations_participant o
                    WHERE o.conversation_id = c.conversation_id AND o.left_at IS NOT NULL) AS is_hidden
          FROM conversations_conversation c
         WHERE c.conversation_id = ANY (held)),
    draft AS MATERIALIZED (
        SELECT t.*,
               CASE WHEN t.client_id IS NOT NULL THEN sha256(
                   uuid_send(t.conversation_id)
                   || int8send(octet_length(convert_to(t.subject, 'UTF8'))::bigint)
                   || convert_to(t.subject, 'UTF8')
                   || int8send(octet_length(convert_to(t.body, 'UTF8'))::bigint)
                   || convert_to(t.body, 'UTF8')
                   || coalesce(uuid_send(t.reply_to), '')
                   || t.named) END AS fingerprint
          FROM unnest(message_ids, wheres, direct_keys, sender_ids, subjects, bodies, client_ids, replies, named)
               WITH ORDINALITY AS t (message_id, conversation_id, direct_key, sender_id, subject, body, client_id,
                                     reply_to, named, place)),
    judged AS MATERIALIZED (
        SELECT d.*, coalesce(again.message_id, first.message_id) AS known_id,
               CASE
               WHEN again.message_id IS NOT NULL THEN 'known'
               WHEN first.message_id IS NOT NULL THEN
                   CASE WHEN first.fingerprint = d.fingerprint THEN 'known' ELSE 'reused' END
               WHEN talk.conversation_id IS NULL THEN
                   CASE WHEN EXISTS (SELECT FROM conversations_conversation c
                                      WHERE c.conversation_id = d.conversation_id)
                        THEN 'stuck' ELSE 'nowhere' END
               WHEN talk.is_hidden THEN 'hidden'
               WHEN mine.user_id IS NULL OR mine.left_at IS NOT NULL THEN 'nowhere'
               WHEN talk.kind = 'direct' AND EXISTS (
                   SELECT FROM conversations_participant o
                     JOIN conversations_block b ON b.blocker_id = o.user_id AND b.blocked_id = d.sender_id
                    WHERE o.conversation_id = d.conversation_id) THEN 'blocked'
               WHEN d.reply_to IS NOT NULL AND NOT EXISTS (
                   SELECT FROM messaging_message r
                    WHERE r.message_id = d.reply_to AND r.conversation_id = d.conversation_id
                      AND r.seq > mine.visible_after) THEN 'no_reply'
               ELSE 'new' END AS verdict
          FROM draft d
          LEFT JOIN talk ON talk.conversation_id = d.conversation_id
          LEFT JOIN messaging_message again ON again.message_id = d.message_id
          LEFT JOIN messaging_message first
            ON first.conversation_id = d.conversation_id AND first.sender_id = d.sender_id
           AND first.client_id = d.client_id
          LEFT JOIN conversations_participant mine
            ON mine.user_id = d.sender_id AND mine.conversation_id = d.conversation_id),
    twinned AS MATERIALIZED (
        SELECT j.*, CASE WHEN j.client_id IS NOT NULL THEN
                   min(j.place) FILTER (WHERE j.verdict = 'new') OVER (
                       PARTITION BY j.conversation_id, j.sender_id, j.client_id COLLATE "C") END AS winner
          FROM judged j),
    settled AS MATERIALIZED (
        SELECT t.*, CASE
               WHEN t.verdict IN ('new', 'nowhere', 'blocked', 'no_reply') AND t.winner < t.place THEN
                   CASE WHEN w.fingerprint = t.fingerprint THEN 'twin' ELSE 'reused' END
               ELSE t.verdict END AS outcome
          FROM twinned t LEFT JOIN twinned w ON w.place = t.winner),
    numbered AS MATERIALIZED (
        SELECT s.*, talk.last_seq + s.rank AS seq, talk.revision + s.rank AS revision, talk.gen,
               talk.at + (s.rank - 1) * interval '1 microsecond' AS sent_at
          FROM (SELECT s.*, row_number() OVER (PARTITION BY s.conversation_id ORDER BY s.place) AS rank
                  FROM settled s WHERE s.outcome = 'new') AS s
          JOIN talk ON talk.conversation_id = s.conversation_id),
    written AS (
        INSERT INTO messaging_message (
            message_id, conversation_id, sender_id, seq, revision, gen, subject, message_body, sent_at, client_id,
            fingerprint, reply_to)
        SELECT n.message_id, n.conversation_id, n.sender_id, n.seq, n.revision, n.gen, n.subject, n.body, n.sent_at,
               n.client_id, n.fingerprint, n.reply_to
          FROM numbered n),
    raised AS (
        UPDATE conversations_conversation c
           SET last_seq = n.seq, revision = n.revision, gen = n.gen, active_gen = n.gen, active_at = n.sent_at,
               changed_at = n.sent_at
          FROM (SELECT n.conversation_id, max(n.seq) AS seq, max(n.revision) AS revision, max(n.gen) AS gen,
                       max(n.sent_at) AS sent_at
                  FROM numbered n GROUP BY n.conversation_id) AS n
         WHERE c.conversation_id = n.conversation_id)
    SELECT s.place, s.outcome, coalesce(m.conversation_id, s.conversation_id), coalesce(m.seq, n.seq),
           coalesce(m.revision, n.revision), coalesce(m.sent_at, n.sent_at), n.gen, n.fingerprint,
           s.winner, m.message_id, m.sender_id, m.subject::text, m.message_body, m.client_id::text, m.reply_to,
           m.edited_at, m.retracted_at, k.flags
      FROM settled s
      LEFT JOIN numbered n ON n.place = s.place
      LEFT JOIN messaging_message m ON m.message_id = s.known_id AND s.outcome = 'known'
      LEFT JOIN messaging_mark k
        ON k.user_id = s.sender_id AND k.conversation_id = m.conversation_id AND k.seq = m.seq;
END
$$
"""
REMOVE = "DROP FUNCTION parley_send"


def install(_apps: Any, schema_editor: Any) -> None:
    if schema_editor.connection.vendor == "postgresql":
        schema_editor.execute(INSTALL)


def remove(_apps: Any, schema_editor: Any) -> None:
    if schema_editor.connection.vendor == "postgresql":
        schema_editor.execute(REMOVE)


class Migration(migrations.Migration):
    dependencies = [("messaging", "0001_initial"), ("conversations", "0001_initial")]
    operations = [migrations.RunPython(install, remove)]
