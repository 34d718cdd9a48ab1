"""The canonical shapes: each object's keys, in order."""


def keys(text):
    return text.split()


USER = keys("user_id username first_name last_name email phone_number role created_at")
MESSAGE = keys(
    "message_id sender message_body sent_at conversation subject seq revision client_id reply_to "
    "edited_at retracted_at read starred"
)
PLACE = keys("member_role read_seq delivered_seq joined_at")
PARTICIPANT = USER + PLACE
ME = keys("member_role read_seq watermark muted_until archived_at pinned_at")
CONVERSATION = keys(
    "conversation_id participants created_at messages kind title last_seq revision changed_at "
    "participant_count unread_count unread_capped last_message me"
)
PAGE = keys("next previous results")
READ_STATE = keys("read_seq watermark unread_count")
NEWS = keys("conversations marks removed left cursor more")
INSTANT = r"\d{4}-\d\d-\d\dT\d\d:\d\d:\d\d\.\d{6}Z"


def error(answer):
    """Return the one error of an answer as (code, attr), its shape checked."""
    [found] = errors(answer)
    return found


def errors(answer):
    """Return the errors of an answer as (code, attr), their shape checked."""
    body = answer.json()
    kinds = {4: {"validation_error", "client_error"}, 5: {"server_error"}}

    assert list(body) == ["type", "errors"]
    assert body["type"] in kinds[answer.status_code // 100]
    for each in body["errors"]:
        assert list(each) == ["code", "detail", "attr"]
        assert isinstance(each["detail"], str)
    return [(each["code"], each["attr"]) for each in body["errors"]]
