"""What Twilio's error codes mean, as data.

Twilio advises against logic on codes, for they change: so one that is not listed here is
taken as passing (tried again later), never as a reason to block a shopper.
Source: https://www.twilio.com/docs/api/errors
"""

from __future__ import annotations

#: The number is dead or its owner said no: block it.
DEAD = frozenset(
    {
        21211,  # invalid To
        21610,  # opted out by STOP
        21614,  # not able to get SMS
        30005,  # unknown handset
        30006,  # landline
        63003,  # not on WhatsApp
        63024,  # WhatsApp knows no such recipient
        63033,  # the recipient blocked the shop on WhatsApp
    }
)

#: Our account or our sender is at fault: any other message would fare no better.
ACCOUNT = frozenset(
    {
        20003,  # authentication, or an account without money
        20005,  # account not active
        20006,  # access denied
        20008,  # test credentials
        21212,  # From is no number
        21603,  # no From
        21606,  # From is not ours
        21659,  # From is no Twilio number
        21660,  # From belongs to another account
        21701,  # no such messaging service
        21704,  # the messaging service has no number
        30002,  # account suspended
        63007,  # the number that sends is not on WhatsApp
        90010,  # account not active
    }
)

#: The sender has as much to send as it can hold.
QUEUE_FULL = 21611

#: What we send, or where to, is at fault: trying again will not help.
MISCONFIGURED = frozenset(
    {
        21408,  # region not enabled
        21655,  # no such content sid
        21656,  # the content's variables do not fit
        30007,  # filtered by the carrier
        30034,  # A2P 10DLC not registered
        30450,  # pumping protection
        30610,  # quiet hours of the compliance toolkit
        63005,  # content that WhatsApp does not take
        63013,  # against WhatsApp's rules
        63016,  # outside WhatsApp's 24 hours
        63020,  # Meta's invitation not accepted
        63021,  # content that WhatsApp does not take
        63027,  # no such template in this language
        63028,  # another number of variables than the template has
    }
)
