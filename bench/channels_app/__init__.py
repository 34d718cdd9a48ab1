"""The reference of delivery: a chat room as the tutorial of Channels makes it, under daphne."""
