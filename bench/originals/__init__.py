"""The designs of the five older backends, as plain as they were: a row per message, integer keys.

Their holes are closed in the cheapest way (one sees one's own messages only, lists have an order),
and no row is read once per message: so what is compared is the design, at its best.
"""
