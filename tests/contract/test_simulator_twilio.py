"""Twilio's simulator: messages made and found again, reports, STOP, WhatsApp."""

from __future__ import annotations

import json
from collections import Counter
from collections.abc import Callable, Iterator
from contextlib import ExitStack, contextmanager
from datetime import UTC, date, datetime, timedelta
from typing import Any

import jsonschema
import pytest
import requests
import twilio.rest
from hypothesis import given, settings
from hypothesis import strategies as st
from twilio.base.exceptions import TwilioException, TwilioRestException
from twilio.request_validator import RequestValidator
from twilio.rest.content.v1.content import ContentList
from twilio.rest.content.v1.content.approval_create import ApprovalCreateList

from engine.channels.twilio import TwilioChannel
from engine.clock import ManualClock
from engine.errors import DeliveryError, OutcomeUnknown
from engine.testing.plan import Plan
from engine.testing.simulator import DROP, Simulator, answering
from engine.testing.stories import Callbacks, Stories
from engine.testing.twilio import TwilioSimulator
from engine.testing.twilio_callbacks import opt_out_type, sign
from tests.contract.conftest import an_sms
from tests.contract.simulator_kit import Shop, form
from tests.shared_data import shared

US = "+15005550006"
WHATSAPP = f"whatsapp:{US}"
SPEC = "specs/twilio/twilio_api_v2010.messages.json"


@pytest.fixture
def stack() -> Iterator[ExitStack]:
    with ExitStack() as stack:
        yield stack


def sdk(there: TwilioSimulator) -> twilio.rest.Client:
    """Twilio's own SDK, pointed at the simulator."""
    client = twilio.rest.Client(there.account, there.token)
    client.api.base_url = client.content.base_url = there.url
    client.http_client.session.trust_env = False
    return client


@contextmanager
def refusing(code: int) -> Iterator[None]:
    with pytest.raises(TwilioRestException) as refused:
        yield
    assert refused.value.code == code


Start = Callable[..., tuple[TwilioSimulator, TwilioChannel, Shop]]


@pytest.fixture
def start(stack: ExitStack) -> Start:
    def start(
        story: str = "sent delivered", told: dict[str, str] | None = None, **how: Any
    ) -> tuple[TwilioSimulator, TwilioChannel, Shop]:
        options = {k: how.pop(k) for k in ("plan", "rate", "spec", "slow") if k in how}
        inbox = stack.enter_context(Simulator())
        url = f"{inbox.url}/callbacks/twilio"
        stories = Stories({story: 1.0}, told=told)
        callbacks = Callbacks(url=url, stories=stories, **{"delay": 0.005, **how})
        there = stack.enter_context(TwilioSimulator(callbacks=callbacks, **options))
        channel = TwilioChannel(there.account, there.token, there.url, callback=url, answer=0.3)
        stack.callback(channel.close)
        shop = Shop(inbox, there)
        shop.inbox = inbox  # type: ignore[attr-defined]
        return there, channel, shop

    return start


@pytest.fixture
def there(stack: ExitStack) -> TwilioSimulator:
    return stack.enter_context(TwilioSimulator())


# --- made and found again ---------------------------------------------------------------------


def validator(schema: str) -> jsonschema.Draft202012Validator:
    """Of a schema in Twilio's OpenAPI file, which is 3.0: ``nullable`` is no JSON Schema."""
    document = json.loads(shared(SPEC).read_text("utf-8"))

    def convert(value: Any) -> Any:
        if isinstance(value, list):
            return [convert(v) for v in value]
        if not isinstance(value, dict):
            return value
        value = {k: convert(v) for k, v in value.items()}
        if value.pop("nullable", False):
            return {"anyOf": [value, {"type": "null"}]}
        return value

    whole = convert(document)
    found: Any = whole["paths"] if schema.startswith("/") else whole["components"]["schemas"]
    if schema.startswith("/"):
        answer = found[schema]["get"]["responses"]["200"]["content"]
        found = answer["application/json"]["schema"]
    else:
        found = found[schema]
    return jsonschema.Draft202012Validator({**found, "components": whole["components"]})


def test_what_it_answers_is_what_its_specification_says(there: TwilioSimulator) -> None:
    client = sdk(there)
    made = client.messages.create(to="+14155550001", from_=US, body="one")
    client.messages.create(to="+14155550002", messaging_service_sid="MG" + "a" * 32, body="two")
    one = validator("api.v2010.account.message")
    for message in there.messages.page("/m", "")["messages"]:
        one.validate(message)
        assert set(message) == set(one.schema["properties"])  # type: ignore[arg-type, index]
    page = there.messages.page("/2010-04-01/Accounts/x/Messages.json", "PageSize=1")
    pages = validator("/2010-04-01/Accounts/{AccountSid}/Messages.json")
    pages.validate(page)
    assert set(page) == set(pages.schema["properties"])  # type: ignore[arg-type, index]
    assert made.status == "queued"
    assert client.messages(made.sid).fetch().status == "sent"
    with refusing(20404):
        client.messages("SM" + "0" * 32).fetch()


def test_messages_are_found_by_number_sender_and_day(stack: ExitStack) -> None:
    clock = ManualClock(datetime(2026, 11, 23, 23, 59, tzinfo=UTC))
    there = stack.enter_context(TwilioSimulator(clock=clock))
    client = sdk(there)
    for n in range(4):
        to = f"+1415555000{n % 2}"
        client.messages.create(to=to, from_=US, body=f"text {n}")
        if n == 1:
            clock.move_to(datetime(2026, 11, 24, 0, 1, tzinfo=UTC))

    def bodies(**wanted: Any) -> list[str]:
        return [m.body for m in client.messages.list(**wanted)]

    assert bodies() == ["text 3", "text 2", "text 1", "text 0"]
    assert bodies(to="+14155550001") == ["text 3", "text 1"]
    assert bodies(to="+14155550001", from_="+15005550001") == []
    assert bodies(date_sent=date(2026, 11, 23)) == ["text 1", "text 0"]
    assert bodies(date_sent_after=date(2026, 11, 24)) == ["text 3", "text 2"]
    assert bodies(date_sent_before=date(2026, 11, 23)) == ["text 1", "text 0"]
    assert bodies(date_sent=datetime(2026, 11, 24, 12)) == ["text 3", "text 2"]
    minute = datetime(2026, 11, 24, 0, 0, 30, tzinfo=UTC)
    assert bodies(date_sent_after=minute, to="+14155550000") == ["text 2"]
    assert bodies(date_sent_after=minute + timedelta(hours=1)) == []


def test_lists_come_in_pages_that_stay_put(there: TwilioSimulator) -> None:
    client = sdk(there)
    for n in range(25):
        client.messages.create(to="+14155550001", from_=US, body=str(n))
    first = client.messages.page(to="+14155550001", page_size=10)
    seen = [m.body for m in first]
    client.messages.create(to="+14155550001", from_=US, body="came meanwhile")
    page = first
    while (page := page.next_page()) is not None:
        seen += [m.body for m in page]
    assert seen == [str(n) for n in range(24, -1, -1)]
    assert len(client.messages.list(page_size=7)) == 26
    assert len(client.messages.list(limit=3)) == 3
    for wrong in ("PageSize=0", "PageSize=1001", "DateSent=x", "PageToken=PASMnone", "Bodi=1"):
        path = f"/2010-04-01/Accounts/{there.account}/Messages.json?{wrong}"
        answer = client.request("GET", f"{there.url}{path}")
        assert answer.status_code == 400, wrong


def test_what_is_not_sent_yet_is_not_found_by_date(start: Start) -> None:
    there, channel, _ = start("sent delivered", delay=5.0)
    channel.send(an_sms(1))
    client = sdk(there)
    assert [m.status for m in client.messages.list()] == ["queued"]
    assert client.messages.list(date_sent_after=date(2020, 1, 1)) == []


def test_a_lookup_takes_no_message_and_may_fail_as_well(start: Start) -> None:
    there, channel, _ = start(plan=None)
    channel.send(an_sms(1))
    there.script([answering(503), DROP])
    client = sdk(there)
    with pytest.raises(TwilioException):
        client.messages.list()
    with pytest.raises(requests.ConnectionError):
        client.messages.list()
    assert len(client.messages.list()) == 1
    assert there.count == 1 and there.ledger is not None and len(there.ledger) == 1


def test_fields_and_types_are_those_of_the_specification(stack: ExitStack) -> None:
    there = stack.enter_context(TwilioSimulator(spec=shared(SPEC)))
    client = sdk(there)
    good = {"to": "+14155550001", "from_": US, "body": "x"}
    client.messages.create(**good, smart_encoded=True, validity_period=60, risk_check="enable")
    for bad in (
        {"validity_period": "soon"},
        {"risk_check": "maybe"},
        {"messaging_service_sid": "MG1"},
        {"content_sid": "x"},
        {"smart_encoded": "perhaps"},
    ):
        with refusing(20001):
            client.messages.create(**{**good, **bad})
    assert there.count == 1


@pytest.mark.parametrize(
    ("fields", "code"),
    [
        ({"to": "0300 1234567"}, 21211),
        ({"from_": None}, 21603),
        ({"from_": "+15005550007"}, 21606),
        ({"from_": "+15005550008"}, 21611),
        ({"from_": "not a sender!"}, 21212),
        ({"body": ""}, 21602),
        ({"body": "x" * 1601}, 21617),
        ({"to": "whatsapp:+14155550001"}, 63007),
        ({"status_callback": "localhost"}, 21609),
        ({"content_sid": "HX1"}, 21655),
        ({"content_sid": "HX" + "a" * 32, "content_variables": "x"}, 21656),
        ({"content_sid": "HX" + "a" * 32, "content_variables": '{"1": 2}'}, 21656),
    ],
)
def test_what_is_refused_has_twilios_code(
    there: TwilioSimulator, fields: dict[str, Any], code: int
) -> None:
    good: dict[str, Any] = {"to": "+14155550001", "from_": US, "body": "x"}
    with pytest.raises(TwilioRestException) as refused:
        sdk(there).messages.create(**{**good, **fields})
    assert (refused.value.code, refused.value.status) == (code, 400)
    assert there.count == 0


# --- reports ----------------------------------------------------------------------------------


def test_statuses_are_reported_signed_and_believed(start: Start) -> None:
    there, channel, shop = start("sent delivered")
    receipt = channel.send(an_sms(1))
    assert there.drain()
    events = shop.events()
    assert [e.name for e in events] == ["SMS Sent", "SMS Delivered"]
    for event in events:
        assert event.properties["message_id"] == an_sms(1).message_id
        assert event.properties["reference"] == receipt.reference
        assert event.identifiers == ("phone:+14155550001",)
    for post in shop.posts:  # and Twilio's own SDK agrees
        url = f"{shop.inbox.url}{post.path}"  # type: ignore[attr-defined]
        signature = post.headers["x-twilio-signature"]
        assert RequestValidator(there.token).validate(url, form(post), signature)
    assert sdk(there).messages(receipt.reference).fetch().status == "delivered"


def test_a_flipped_byte_is_not_believed(start: Start) -> None:
    there, channel, shop = start("undelivered:30005")
    channel.send(an_sms(1))
    assert there.drain()
    (post,) = shop.posts

    @settings(max_examples=60, deadline=None)
    @given(st.integers(0, len(post.body) - 1), st.sampled_from([1, 2, 4, 8, 16, 32]))
    def flipped(at: int, change: int) -> None:
        body = post.body[:at] + bytes([post.body[at] ^ change]) + post.body[at + 1 :]
        if form(post) != _form_or_none(body):  # "a" and "%61" are the same form
            assert not shop.believes(post, lambda _: body)

    flipped()
    assert shop.believes(post)
    assert not shop.believes(post._replace(path=post.path + "x"))


def _form_or_none(body: bytes) -> dict[str, str] | None:
    from urllib.parse import parse_qsl

    try:
        return dict(parse_qsl(body.decode(), keep_blank_values=True))
    except UnicodeDecodeError:
        return None


def test_signatures_are_those_of_twilios_own_vectors() -> None:
    vectors = json.loads(shared("payloads/twilio/signature_vectors.json").read_text("utf-8"))
    case = vectors["cases"][0]
    assert sign(vectors["auth_token"], case["url"], dict(case["params"])) == case["signature"]


@pytest.mark.parametrize(
    ("story", "permanent"), [("sent undelivered:30005", True), ("failed:30007", False)]
)
def test_a_failure_brings_its_code(start: Start, story: str, permanent: bool) -> None:
    there, channel, shop = start(story)
    receipt = channel.send(an_sms(1))
    assert there.drain()
    failed = next(e for e in shop.events() if e.name == "SMS Failed")
    assert failed.properties["permanent"] is permanent
    found = sdk(there).messages(receipt.reference).fetch()
    assert found.error_code == failed.properties["code"] == int(story[-5:])


def test_reports_come_twice_late_and_out_of_order_and_are_the_same_events(start: Start) -> None:
    there, channel, shop = start(
        "sending sent delivered read", twice=0.5, shuffle=0.5, late=0.3, late_by=0.05, seed=4
    )
    for n in range(30):
        channel.send(an_sms(n))
    assert there.drain()
    events = shop.events()
    count = Counter((e.properties["message_id"], e.name) for e in events)
    assert len({e.id for e in events}) == len(count) == 90  # "sending" is none of ours
    assert sum(count.values()) > 110
    order: dict[str, list[str]] = {}
    for event in events:
        order.setdefault(event.properties["message_id"], []).append(event.name)
    assert any(names[0] != "SMS Sent" for names in order.values())
    # Whatever the order of its reports, Twilio itself knows how a message stands.
    assert {m.status for m in sdk(there).messages.list()} == {"read"}


def test_a_report_that_we_fail_to_take_is_lost(start: Start) -> None:
    there, channel, shop = start("sent delivered")
    shop.inbox.script([answering(503)])  # type: ignore[attr-defined]
    channel.send(an_sms(1))
    assert there.drain()
    assert [e.name for e in shop.events()] == ["SMS Delivered"]
    poster = there.poster
    assert (poster.posts, poster.refused, poster.repeats, poster.given_up) == (2, 1, 0, 1)


def test_the_address_can_ask_for_repeats(start: Start) -> None:
    there, _, shop = start("delivered")
    shop.inbox.script([answering(503)] * 3)  # type: ignore[attr-defined]
    url = f"{shop.inbox.url}/callbacks/twilio?message=m1#rc=3&rp=5xx"  # type: ignore[attr-defined]
    sdk(there).messages.create(to="+14155550001", from_=US, body="x", status_callback=url)
    assert there.drain()
    assert [e.properties["message_id"] for e in shop.events()] == ["m1"]
    assert there.poster.repeats == 3
    assert there.ledger is not None and there.ledger.times() == {"m1": 1}


def test_only_an_address_that_cannot_be_reached_is_tried_again(start: Start) -> None:
    there, _, _ = start("delivered")
    sdk(there).messages.create(
        to="+14155550001", from_=US, body="x", status_callback="http://127.0.0.1:9/"
    )
    assert there.drain()
    assert (there.poster.posts, there.poster.repeats, there.poster.given_up) == (2, 1, 1)
    assert there.poster.statuses == {0: 2}


# --- what shoppers write ----------------------------------------------------------------------


@pytest.mark.parametrize(
    ("text", "kind"),
    [
        *[("stop", "STOP"), (" Quit ", "STOP"), ("UNSTOP", "START"), ("info", "HELP")],
        *[("please stop", ""), ("", ""), ("Thanks", "")],
    ],
)
def test_one_word_alone_is_a_keyword(text: str, kind: str) -> None:
    assert opt_out_type(text) == kind


def test_stop_blocks_the_number_until_start(start: Start) -> None:
    there, channel, shop = start("sent", told={"+14155550001": "sent delivered stop"})
    channel.send(an_sms(1))
    assert there.drain()
    with pytest.raises(DeliveryError, match="21610") as refused:
        channel.send(an_sms(1))
    assert refused.value.suppress
    channel.send(an_sms(2))
    there.inbound("+14155550001", "start")
    assert there.drain()
    there.callbacks.stories.told.clear()  # type: ignore[union-attr]
    channel.send(an_sms(1))
    there.inbound("+14155550002", "help")
    there.inbound("+14155550002", "Danke schön")
    assert there.drain()
    texts = [form(post) for post in shop.posts if "Body" in form(post)]
    assert all(shop.believes(post) for post in shop.posts)
    assert [(t["From"], t["Body"], t.get("OptOutType")) for t in texts] == [
        ("+14155550001", "STOP", "STOP"),
        ("+14155550001", "start", "START"),
        ("+14155550002", "help", "HELP"),
        ("+14155550002", "Danke schön", None),
    ]
    assert {e.identifiers for e in shop.events()} == {
        ("phone:+14155550001",),
        ("phone:+14155550002",),
    }
    assert there.ledger is not None
    assert there.ledger.after_stop() == []
    assert len(there.ledger.stops["+14155550001"]) == 1


def test_stop_holds_for_a_messaging_service_as_a_whole(start: Start) -> None:
    there, channel, shop = start("sent")
    service = "MG" + "b" * 32
    there.inbound("+14155550001", "STOP", sender=service)
    assert there.drain()
    assert form(shop.posts[0])["MessagingServiceSid"] == service
    assert form(shop.posts[0])["OptOutType"] == "STOP"
    with pytest.raises(DeliveryError, match="21610"):
        channel.send(an_sms(1, sender=service))
    channel.send(an_sms(1))  # another sender


# --- WhatsApp ---------------------------------------------------------------------------------


def test_whatsapp_takes_free_text_only_in_a_conversation(start: Start) -> None:
    there, _, shop = start("sent delivered read")
    client = sdk(there)
    url = f"{shop.inbox.url}/callbacks/twilio?message=w1"  # type: ignore[attr-defined]

    def send() -> str:
        made = client.messages.create(
            to="whatsapp:+14155550001", from_=WHATSAPP, body="hello", status_callback=url
        )
        assert there.drain()
        return str(client.messages(made.sid).fetch().status)

    assert send() == "failed"
    assert [e.properties["code"] for e in shop.events()] == [63016]
    there.inbound("whatsapp:+14155550001", "Hello?", sender=WHATSAPP)
    assert there.drain()
    assert send() == "read"
    statuses = [e.properties["status"] for e in shop.events() if "status" in e.properties]
    assert statuses == ["failed", "sent", "delivered", "read"]
    assert {e.identifiers for e in shop.events()} == {("phone:+14155550001",)}


def test_a_template_is_made_approved_and_used(start: Start) -> None:
    there, _, _ = start("sent delivered")
    client = sdk(there)
    content = client.content.v1.contents
    made = content.create(
        ContentList.ContentCreateRequest(
            {
                "friendly_name": "cart",
                "language": "en",
                "variables": {"1": "there"},
                "types": ContentList.Types(
                    {
                        "twilio/text": ContentList.TwilioText(
                            {"body": "Hello {{1}}, your {{2}} waits"}
                        )
                    }
                ),
            }
        )
    )
    assert content(made.sid).fetch().friendly_name == "cart"

    def send(**variables: str) -> str:
        sent = client.messages.create(
            to="whatsapp:+14155550001",
            from_=WHATSAPP,
            content_sid=made.sid,
            content_variables=json.dumps({k.lstrip("v"): v for k, v in variables.items()}),
        )
        assert there.drain()
        message = client.messages(sent.sid).fetch()
        return f"{message.status}: {message.body}"

    assert send(v2="shawl") == "failed: Hello there, your shawl waits"
    asking = ApprovalCreateList.ContentApprovalRequest({"name": "cart", "category": "MARKETING"})
    content(made.sid).approval_create.create(asking)
    assert content(made.sid).approval_fetch().fetch().whatsapp["status"] == "approved"
    assert send(v1="Zoë", v2="شال") == "delivered: Hello Zoë, your شال waits"
    with refusing(21656):
        send(v1="Zoë")
    with refusing(21655):
        client.messages.create(
            to="whatsapp:+14155550001", from_=WHATSAPP, content_sid="HX" + "f" * 32
        )
    assert there.count == 2


# --- faults -----------------------------------------------------------------------------------


@pytest.mark.parametrize(
    ("fault", "taken", "what"),
    [
        ("429", False, DeliveryError),
        ("503", False, DeliveryError),
        ("401", False, DeliveryError),
        ("400", False, DeliveryError),
        ("413", False, DeliveryError),
        ("500", False, DeliveryError),
        ("drop", False, OutcomeUnknown),
        ("502", False, OutcomeUnknown),
        ("hang", True, OutcomeUnknown),
        ("cut", True, OutcomeUnknown),
        ("lie", True, OutcomeUnknown),
        ("slow", True, None),
    ],
)
def test_each_fault_is_what_it_says(
    start: Start, fault: str, taken: bool, what: type[Exception] | None
) -> None:
    there, channel, shop = start(plan=Plan({fault: 1.0}), slow=0.05)
    if what is None:
        channel.send(an_sms())
    else:
        with pytest.raises(what):
            channel.send(an_sms())
    assert there.faulted == {fault: 1}
    assert there.drain()
    assert there.ledger is not None
    assert [(t.fault, t.key) for t in there.ledger] == (
        [(fault, an_sms().message_id)] if taken else []
    )
    assert bool(shop.events()) is taken
    there.plan = None  # the list tells the truth about what was taken
    assert len(sdk(there).messages.list(to=an_sms().to)) == int(taken)


def test_too_many_requests_are_20429(start: Start) -> None:
    there, channel, _ = start(rate=3)
    busy = 0
    for n in range(12):
        try:
            channel.send(an_sms(n))
        except DeliveryError as error:
            assert error.retry_after == timedelta(seconds=1)
            busy += 1
    assert busy == there.faulted["429"] > 0
    assert there.count == 12 - busy


def test_what_it_remembers_can_be_limited(stack: ExitStack) -> None:
    there = stack.enter_context(TwilioSimulator(keep=3))
    client = sdk(there)
    for n in range(5):
        client.messages.create(to=f"+1415555000{n % 2}", from_=US, body=str(n))
    assert [m.body for m in client.messages.list()] == ["4", "3", "2"]
    assert [m.body for m in client.messages.list(to="+14155550001")] == ["3"]
    assert there.count == 5
