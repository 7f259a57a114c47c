"""Who may go to an ad platform, in SQL: the same for those by API and for files.

To be put into statements that read ``profile p`` and have the parameter ``opt_out``. What the
law of the shopper's country asks for besides is ``engine.model.adlaw``.
"""

from __future__ import annotations

from typing import Literal, LiteralString

AdsConsent = Literal["opt-in", "opt-out"]

#: The latest word on ads, for each of the two things that platforms ask about; of two at once,
#: the no. A word on any other topic ("*", "offers") is about both.
_DATA: LiteralString = """(select c.granted from consent c
    where c.profile_id = p.id and c.channel = 'ads' and c.topic <> 'ad_personalization'
    order by c.at desc, c.granted limit 1)"""
_PERSONAL: LiteralString = """(select c.granted from consent c
    where c.profile_id = p.id and c.channel = 'ads' and c.topic <> 'ad_user_data'
    order by c.at desc, c.granted limit 1)"""
#: Said yes to both.
YES: LiteralString = f"(coalesce({_DATA}, false) and coalesce({_PERSONAL}, false))"
#: Said no to neither; or yes to both, where the shop wants that.
NO_NO: LiteralString = f"(coalesce({_DATA}, %(opt_out)s) and coalesce({_PERSONAL}, %(opt_out)s))"
#: An email address or number of theirs is blocked.
BLOCKED: LiteralString = """exists (select from identity i
    join suppression s on s.address = i.identifier where i.profile_id = p.id)"""
