"""What changes people and their credentials."""

from parley.accounts.audit import record
from parley.accounts.operations.credentials import (
    LONGEST_TOKEN_NAME,
    DeadSignIn,
    TokenNotFound,
    TooManyTokens,
    begin_sign_in,
    create_token,
    end_sign_in,
    issue_ticket,
    note_token_use,
    redeem_ticket,
    refresh_sign_in,
    revoke_token,
)
from parley.accounts.operations.people import (
    LastAdmin,
    PasswordNeeded,
    change_person,
    set_active,
    set_role,
    update_profile,
)
from parley.accounts.operations.signing import (
    ChangedMeanwhile,
    WrongPassword,
    change_password,
    check_credentials,
    reset_password,
)
from parley.accounts.operations.signup import sign_up, user_signed_up
from parley.accounts.queries import NotAnAdmin

__all__ = [
    "LONGEST_TOKEN_NAME",
    "ChangedMeanwhile",
    "DeadSignIn",
    "LastAdmin",
    "NotAnAdmin",
    "PasswordNeeded",
    "TokenNotFound",
    "TooManyTokens",
    "WrongPassword",
    "begin_sign_in",
    "change_password",
    "change_person",
    "check_credentials",
    "create_token",
    "end_sign_in",
    "issue_ticket",
    "note_token_use",
    "record",
    "redeem_ticket",
    "refresh_sign_in",
    "reset_password",
    "revoke_token",
    "set_active",
    "set_role",
    "sign_up",
    "update_profile",
    "user_signed_up",
]
