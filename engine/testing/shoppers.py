"""Scripted shoppers: a cast for demos and acceptance tests.

Each shopper follows a plot (``PLOTS``): looks, leaves, returns, buys, under one name or two, in
order or not, once or twice. A plot is written in the time of the clock that is in force, so the
same cast plays at any speed. The same seed gives the same cast.
"""

from __future__ import annotations

import random
import uuid
from collections.abc import Callable, Iterator, Mapping, Sequence
from dataclasses import dataclass, field
from datetime import timedelta
from typing import Any

Message = dict[str, Any]

MINUTE, HOUR, DAY = timedelta(minutes=1), timedelta(hours=1), timedelta(days=1)

#: What they look at, where the cast is not given a shop's own: the properties of an event about
#: it. ``names``, by language, takes the place of ``name`` for who reads that language.
GOODS: tuple[Mapping[str, Any], ...] = (
    {
        "product_id": "teapot",
        "name": "Clay teapot",
        "price": 48,
        "currency": "USD",
        "category": "kitchen",
    },
    {
        "product_id": "lamp",
        "name": "Reading lamp",
        "price": 89,
        "currency": "USD",
        "category": "living",
    },
    {
        "product_id": "shawl",
        "name": "Pashmina shawl",
        "price": 75,
        "currency": "USD",
        "category": "wear",
    },
    {
        "product_id": "tea",
        "name": "Darjeeling tea",
        "price": 22,
        "currency": "USD",
        "category": "kitchen",
    },
)

_NAMES = {
    "en": ("Ada", "Grace", "Tom", "Maya", "Ben", "Ruth", "Sam", "Iris", "Leo", "Nora"),
    "hi": ("आशा", "रवि", "मीरा", "अर्जुन", "कविता", "विकास", "नेहा", "सुनील"),
    "ur": ("عائشہ", "احمد", "فاطمہ", "بلال", "زینب", "حسن", "سارہ", "عمران"),
}


@dataclass(frozen=True, slots=True)
class Act:
    """Something a shopper does.

    ``at``        when it reaches the collector, counted from the shopper's entry.
    ``message``   a Segment message; its ``timestamp`` and ``sentAt`` are set when it is sent.
    ``ago``       how long before it is sent it happened: an offline phone, an import.
    ``copies``    how often the same message, with the same ``messageId``, is sent.
    ``leaves_list``  no message: the shopper takes the unsubscribe link of their latest mail.
    """

    at: timedelta
    message: Message = field(default_factory=dict)
    ago: timedelta = timedelta(0)
    copies: int = 1
    leaves_list: bool = False


@dataclass(frozen=True, slots=True)
class Shopper:
    """One of the cast. ``enters`` is counted from the start of the play."""

    plot: str
    email: str
    enters: timedelta
    acts: tuple[Act, ...]

    @property
    def buys(self) -> bool:
        """Whether they order during the play (not only long before it)."""
        return any(
            act.message.get("event") == "Order Completed" and act.ago < DAY for act in self.acts
        )


class Person:
    """Makes the messages of one shopper, as the browser and as the shop's back end send them.

    The browser knows its cookie and its cart; the back end the address, the phone, the user id
    and the cart.
    """

    def __init__(self, dice: random.Random, number: int, goods: tuple[Mapping[str, Any], ...]):
        self._dice = dice
        self.language = dice.choice(("en", "en", "hi", "ur"))
        self.name = dice.choice(_NAMES[self.language])
        self.email = f"shopper{number}@example.com"
        # Ofcom's numbers for drama: +44 20 7946 0000 to 0999 belong to nobody, and are valid.
        self.phone = f"+442079460{number % 1000:03d}"
        self.user = f"u{number}"
        self.cart = self._id("cart")
        self.anonymous = self._id("anon")
        self.product, self.other = (self._named(product) for product in dice.sample(goods, 2))

    def _id(self, kind: str) -> str:
        return f"{kind}-{uuid.UUID(int=self._dice.getrandbits(128), version=4)}"

    def _named(self, product: Mapping[str, Any]) -> Mapping[str, Any]:
        plain = {name: value for name, value in product.items() if name != "names"}
        names = product.get("names", {})
        return plain | ({"name": names[self.language]} if self.language in names else {})

    def _message(self, kind: str, who: Mapping[str, Any], **fields: Any) -> Message:
        return {"type": kind, "messageId": self._id("m"), **who, **fields}

    def _browser(self, event: str, **properties: Any) -> Message:
        return self._message(
            "track", {"anonymousId": self.anonymous}, event=event, properties=properties
        )

    def joins(self, *, user: bool = False, browser: bool = True, **consent: bool) -> Message:
        """The back end tells who they are and what they said yes or no to; ``browser``: together
        with the cookie, as at a sign-in."""
        traits: dict[str, Any] = {
            "email": self.email,
            "phone": self.phone,
            "firstName": self.name,
            "locale": self.language,
        }
        if consent:
            traits["consent"] = dict(consent)
        who = {"anonymousId": self.anonymous} if browser else {}
        return self._message(
            "identify", who | ({"userId": self.user} if user else {}), traits=traits
        )

    def views(self, product: Mapping[str, Any] | None = None) -> Message:
        return self._browser("Product Viewed", **(product or self.product))

    def adds(self) -> Message:
        return self._browser("Product Added", cart_id=self.cart, **self.product)

    def looks_around(self) -> Message:
        return self._message("page", {"anonymousId": self.anonymous}, name="Home")

    def orders(self, *by: str, total: int | None = None) -> Message:
        """The back end reports an order, known ``by``: email, user, cart or cookie."""
        price = self.product["price"] if total is None else total
        properties: dict[str, Any] = {
            "order_id": self._id("order"),
            "total": price,
            "currency": "USD",
            "products": [{**self.product, "quantity": 1}],
        }
        if "email" in by:
            properties["email"] = self.email
        if "cart" in by:
            properties["cart_token"] = self.cart
        who = {"userId": self.user} if "user" in by else {}
        who |= {"anonymousId": self.anonymous} if "cookie" in by else {}
        return self._message("track", who, event="Order Completed", properties=properties)

    def reports(self, event: str, **properties: Any) -> Message:
        """Something a provider or the shop says of the address."""
        return self._message(
            "track", {}, event=event, properties={"email": self.email, **properties}
        )


Plot = Callable[[Person], Iterator[Act]]


def _looks_and_leaves(p: Person) -> Iterator[Act]:
    yield Act(0 * HOUR, p.joins(email=True, sms=False))
    yield Act(10 * MINUTE, p.views())


def _fills_a_cart_and_leaves(p: Person) -> Iterator[Act]:
    yield Act(0 * HOUR, p.joins(email=True, sms=True))
    yield Act(10 * MINUTE, p.views())
    yield Act(20 * MINUTE, p.adds())


def _said_no(p: Person) -> Iterator[Act]:
    yield Act(0 * HOUR, p.joins(email=False, sms=False))
    yield Act(10 * MINUTE, p.views())
    yield Act(20 * MINUTE, p.adds())


def _was_never_asked(p: Person) -> Iterator[Act]:
    yield Act(0 * HOUR, p.joins())
    yield Act(10 * MINUTE, p.views())


def _stays_a_stranger(p: Person) -> Iterator[Act]:
    yield Act(0 * HOUR, p.looks_around())
    yield Act(10 * MINUTE, p.views())


def _changes_their_mind(p: Person) -> Iterator[Act]:
    yield Act(0 * HOUR, p.joins(email=True))
    yield Act(10 * MINUTE, p.views())
    yield Act(40 * MINUTE, p.reports("Consent Withdrawn", channel="email", topic="*"))


def _comes_back_by_the_mail(p: Person) -> Iterator[Act]:
    yield Act(0 * HOUR, p.joins(email=True))
    yield Act(10 * MINUTE, p.views())
    yield Act(9 * HOUR, p.reports("Email Clicked"))
    yield Act(9 * HOUR, p.views())


def _leaves_the_list(p: Person) -> Iterator[Act]:
    yield Act(0 * HOUR, p.joins(email=True))
    yield Act(10 * MINUTE, p.views())
    yield Act(12 * HOUR, leaves_list=True)
    yield Act(18 * HOUR, p.views(p.other))


def _buys_at_once(p: Person) -> Iterator[Act]:
    yield Act(0 * HOUR, p.joins(user=True, email=True))
    yield Act(5 * MINUTE, p.views())
    yield Act(45 * MINUTE, p.orders("user", "cookie"))


def _buys_after_the_mail(p: Person) -> Iterator[Act]:
    yield Act(0 * HOUR, p.joins(user=True, email=True, sms=True))
    yield Act(10 * MINUTE, p.views())
    yield Act(20 * MINUTE, p.adds())
    yield Act(12 * HOUR, p.orders("user", "cookie", "cart"))


def _buys_as_an_address(p: Person) -> Iterator[Act]:
    yield Act(0 * HOUR, p.joins(email=True, sms=True))
    yield Act(10 * MINUTE, p.views())
    yield Act(10 * HOUR, p.orders("email"))


def _buys_as_a_user(p: Person) -> Iterator[Act]:
    yield Act(0 * HOUR, p.views())
    yield Act(20 * MINUTE, p.joins(user=True, email=True))
    yield Act(10 * HOUR, p.orders("user"))


def _buys_as_a_cart(p: Person) -> Iterator[Act]:
    yield Act(0 * HOUR, p.joins(email=True, sms=True))
    yield Act(10 * MINUTE, p.adds())
    yield Act(8 * HOUR, p.orders("cart"))


def _is_known_after_the_order(p: Person) -> Iterator[Act]:
    yield Act(0 * HOUR, p.views())
    yield Act(6 * HOUR, p.orders("email"))
    yield Act(9 * HOUR, p.joins(email=True))


def _orders_before_the_view_arrives(p: Person) -> Iterator[Act]:
    yield Act(0 * HOUR, p.joins(user=True, email=True))
    yield Act(6 * HOUR, p.orders("user", "email"))
    yield Act(9 * HOUR, p.views(), ago=4 * HOUR)


def _says_everything_twice(p: Person) -> Iterator[Act]:
    yield Act(0 * HOUR, p.joins(user=True, email=True, sms=True), copies=2)
    yield Act(10 * MINUTE, p.views(), copies=3)
    yield Act(20 * MINUTE, p.adds(), copies=2)
    yield Act(14 * HOUR, p.orders("email", "cart"), copies=2)


def _buys_off_the_audience(p: Person) -> Iterator[Act]:
    yield Act(0 * HOUR, p.joins(email=True))
    yield Act(10 * MINUTE, p.views())
    yield Act(34 * HOUR, p.orders("email"))


def _is_a_good_customer(p: Person) -> Iterator[Act]:
    yield Act(0 * HOUR, p.joins(user=True, email=True, sms=True))
    yield Act(5 * MINUTE, p.orders("user", total=640), ago=200 * DAY)
    yield Act(30 * MINUTE, p.views())


def _ordered_a_month_ago(p: Person) -> Iterator[Act]:
    yield Act(0 * HOUR, p.joins(user=True, email=True))
    yield Act(5 * MINUTE, p.orders("user", "email"), ago=30 * DAY - 6 * HOUR)


def _ordered_long_ago(p: Person) -> Iterator[Act]:
    yield Act(0 * HOUR, p.joins(user=True, email=True))
    yield Act(5 * MINUTE, p.orders("user", "email"), ago=37 * DAY - 6 * HOUR)


#: Name -> (plot, how common it is).
PLOTS: Mapping[str, tuple[Plot, int]] = {
    "fills a cart and leaves": (_fills_a_cart_and_leaves, 3),
    "looks and leaves": (_looks_and_leaves, 3),
    "buys after the mail": (_buys_after_the_mail, 3),
    "buys as an address": (_buys_as_an_address, 2),
    "buys as a user": (_buys_as_a_user, 2),
    "buys as a cart": (_buys_as_a_cart, 2),
    "buys at once": (_buys_at_once, 2),
    "buys off the audience": (_buys_off_the_audience, 2),
    "says everything twice": (_says_everything_twice, 2),
    "is known after the order": (_is_known_after_the_order, 2),
    "orders before the view arrives": (_orders_before_the_view_arrives, 2),
    "is a good customer": (_is_a_good_customer, 2),
    "ordered a month ago": (_ordered_a_month_ago, 2),
    "ordered long ago": (_ordered_long_ago, 1),
    "comes back by the mail": (_comes_back_by_the_mail, 1),
    "leaves the list": (_leaves_the_list, 1),
    "changes their mind": (_changes_their_mind, 1),
    "said no": (_said_no, 1),
    "was never asked": (_was_never_asked, 1),
    "stays a stranger": (_stays_a_stranger, 1),
}


def cast(
    count: int,
    *,
    seed: int,
    over: timedelta,
    goods: tuple[Mapping[str, Any], ...] = GOODS,
    first: int = 0,
    plots: Sequence[str] = (),
) -> list[Shopper]:
    """``count`` shoppers who enter within ``over``, in the order of their entry.

    ``plots`` come round in turn; without them all do, shuffled, each as often as it is common,
    so that 40 shoppers see every one. ``goods`` (at least two) are what they look at; ``first``
    numbers the first shopper: casts with other numbers are other people.
    """
    dice = random.Random(seed)
    rounds = list(plots)
    if not rounds:
        rounds = [name for name, (_, common) in PLOTS.items() for _ in range(common)]
        dice.shuffle(rounds)
    shoppers = []
    for index in range(count):
        person = Person(dice, first + index, goods)
        plot = rounds[index % len(rounds)]
        acts = tuple(sorted(PLOTS[plot][0](person), key=lambda act: act.at))
        shoppers.append(Shopper(plot, person.email, over * index / max(count, 1), acts))
    return shoppers
