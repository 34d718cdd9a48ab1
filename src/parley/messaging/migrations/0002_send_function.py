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
    WITH draft AS MATERIALIZED (
        SELECT t.*,
               -- "held" is sorted: a search by halves keeps a batch linear.
               held[width_bucket(t.conversation_id, held)] = t.conversation_id AS is_held,
               CASE WHEN t.client_id IS NOT NULL THEN sha256(
                   uuid_send(t.conversation_id)
                   || int8send(octet_length(convert_to(t.subject, 'UTF8'))::bigint)
                   || convert_to(t.subject, 'UTF8')
                   || int8send(octet_length(convert_to(t.body, 'UTF8'))::bigint)
                   || convert_to(t.body, 'UTF8')
                   || coalesce(uuid_send(t.reply_to), '')
                   || t.named) END AS fingerprint
          FROM unnest(message_ids, wheres, sender_ids, subjects, bodies, client_ids, replies, named)
               WITH ORDINALITY AS t (message_id, conversation_id, sender_id, subject, body, client_id, reply_to,
                                     named, place)),
    judged AS MATERIALIZED (
        SELECT d.*, coalesce(again.message_id, first.message_id) AS known_id,
               c.last_seq, c.revision, greatest(c.gen, g) AS gen,
               greatest(at, c.active_at + interval '1 microsecond') AS at,
               CASE
               WHEN again.message_id IS NOT NULL THEN 'known'
               WHEN first.message_id IS NOT NULL THEN
                   CASE WHEN first.fingerprint = d.fingerprint THEN 'known' ELSE 'reused' END
               WHEN c.conversation_id IS NULL THEN 'nowhere'
               WHEN d.is_held IS NOT TRUE THEN 'stuck'
               WHEN c.kind = 'direct' AND EXISTS (
                   SELECT FROM conversations_participant o
                    WHERE o.conversation_id = d.conversation_id AND o.left_at IS NOT NULL) THEN 'hidden'
               WHEN mine.user_id IS NULL OR mine.left_at IS NOT NULL THEN 'nowhere'
               WHEN c.kind = 'direct' AND EXISTS (
                   SELECT FROM conversations_participant o
                     JOIN conversations_block b ON b.blocker_id = o.user_id AND b.blocked_id = d.sender_id
                    WHERE o.conversation_id = d.conversation_id) THEN 'blocked'
               WHEN d.reply_to IS NOT NULL AND NOT EXISTS (
                   SELECT FROM messaging_message r
                    WHERE r.message_id = d.reply_to AND r.conversation_id = d.conversation_id
                      AND r.seq > mine.visible_after) THEN 'no_reply'
               ELSE 'new' END AS verdict
          FROM draft d
          LEFT JOIN conversations_conversation c ON c.conversation_id = d.conversation_id
          LEFT JOIN messaging_message again ON again.message_id = d.message_id
          LEFT JOIN messaging_message first
            ON first.conversation_id = d.conversation_id AND first.sender_id = d.sender_id
           AND first.client_id = d.client_id
          LEFT JOIN conversations_participant mine
            ON mine.user_id = d.sender_id AND mine.conversation_id = d.conversation_id),
    -- Of the drafts that bear one client id, the first that may be written is.
    paired AS (
        SELECT j.*, first_value(j.place) OVER twins AS winner, first_value(j.verdict) OVER twins AS winning,
               first_value(j.fingerprint) OVER twins AS winning_fingerprint
          FROM judged j
        WINDOW twins AS (PARTITION BY j.conversation_id, j.sender_id, j.client_id COLLATE "C"
                         ORDER BY j.verdict <> 'new', j.place)),
    settled AS (
        SELECT p.*, CASE
               WHEN p.client_id IS NOT NULL AND p.winning = 'new' AND p.winner < p.place
                    AND p.verdict IN ('new', 'nowhere', 'blocked', 'no_reply') THEN
                   CASE WHEN p.winning_fingerprint = p.fingerprint THEN 'twin' ELSE 'reused' END
               ELSE p.verdict END AS outcome
          FROM paired p),
    numbered AS MATERIALIZED (
        SELECT s.*, count(*) FILTER (WHERE s.outcome = 'new') OVER (
                   PARTITION BY s.conversation_id ORDER BY s.place) AS rank
          FROM settled s),
    fresh AS MATERIALIZED (
        SELECT n.*, n.last_seq + n.rank AS new_seq, n.revision + n.rank AS new_revision,
               n.at + (n.rank - 1) * interval '1 microsecond' AS new_at
          FROM numbered n),
    written AS (
        INSERT INTO messaging_message (
            message_id, conversation_id, sender_id, seq, revision, gen, subject, message_body, sent_at, client_id,
            fingerprint, reply_to)
        SELECT n.message_id, n.conversation_id, n.sender_id, n.new_seq, n.new_revision, n.gen, n.subject, n.body,
               n.new_at, n.client_id, n.fingerprint, n.reply_to
          FROM fresh n WHERE n.outcome = 'new'),
    raised AS (
        UPDATE conversations_conversation c
           SET last_seq = n.seq, revision = n.revision, gen = n.gen, active_gen = n.gen, active_at = n.at,
               changed_at = n.at
          FROM (SELECT n.conversation_id, max(n.new_seq) AS seq, max(n.new_revision) AS revision,
                       max(n.gen) AS gen, max(n.new_at) AS at
                  FROM fresh n WHERE n.outcome = 'new' GROUP BY n.conversation_id) AS n
         WHERE c.conversation_id = n.conversation_id)
    SELECT n.place, n.outcome, coalesce(m.conversation_id, n.conversation_id), coalesce(m.seq, n.new_seq),
           coalesce(m.revision, n.new_revision), coalesce(m.sent_at, n.new_at), n.gen, n.fingerprint, n.winner,
           coalesce(m.message_id, n.message_id), m.sender_id, m.subject::text, m.message_body, m.client_id::text, m.reply_to,
           m.edited_at, m.retracted_at, k.flags
      FROM fresh n
      LEFT JOIN messaging_message m ON m.message_id = n.known_id AND n.outcome = 'known'
      LEFT JOIN messaging_mark k
        ON k.user_id = n.sender_id AND k.conversation_id = m.conversation_id AND k.seq = m.seq;
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
