"""The findings that make a marketer think: title and explanation by code."""

from __future__ import annotations

WARNINGS = {
    "J051": (
        "no stop on purchase",
        "The journey sends a promotion, but no 'stop' looks for Order Completed: a shopper who "
        "has bought goes on being written to. Add 'stop: [{event: Order Completed, goal: "
        "true}]'. If it is meant so (thanks for an order), give the message a topic whose "
        "consent is 'none'.",
    ),
    "J052": (
        "a field that the event does not carry",
        "The event is one of Segment's e-commerce events and its specification knows no such "
        "field. Either it is misspelt, or your shop sends it besides the specification; then "
        "all is well. A condition on a field that never comes is always false.",
    ),
    "J053": (
        "an event that looks misspelt",
        "No standard event has this name, but one nearly the same does. Events are compared "
        "letter by letter, so a journey on a misspelt event never starts, stops or goes on.",
    ),
    "J054": (
        "the offer ends before the shopper hears of it",
        "An offer is valid for less time than the waits that follow it, and a later message of "
        "the same journey makes the same offer, or shows that of the offer step. Make it valid "
        "longer, or the wait shorter.",
    ),
    "J055": (
        "a key that is always empty",
        "The condition speaks of 'key', but the trigger gives none, so it is always the empty "
        "text. Add 'key: event.product_id' to the trigger, or compare with trigger.product_id.",
    ),
    "J056": (
        "text messages at night",
        "The journey sends SMS and config/winback.yaml has no 'quiet hours' for sms. In many "
        "countries a promotion by SMS at night is forbidden. Add 'quiet hours: {sms: "
        "21:00-09:00}'.",
    ),
    "J057": (
        "a late mail that is sent after all",
        "'if overdue: send' on a promotion sends whatever waited while Winback was down, all at "
        "once and however late. 'skip after 12 hours' is kinder.",
    ),
    "J058": (
        "an offer that never ends",
        "A coupon without 'valid' can be used for ever: it outlives the journey, costs money "
        "long after, and gives nobody a reason to buy now. Add 'valid: 3 days'.",
    ),
    "J059": (
        "an offer that nobody hears of",
        "No message after this offer step shows it: none follows, or their templates do not "
        "speak of 'offer', or they make an offer of their own. The step belongs before the "
        "message.",
    ),
    "J060": (
        "a calendar with a key",
        "A key says which product or cart a run is about. The calendar is about the shopper "
        "alone, so the key would be missing and no run would ever start. All it carries is the "
        "date that it is about, event.date.",
    ),
    "J061": (
        "a calendar that comes but once",
        "Without 'again' a shopper takes part in a journey once in a lifetime: only the first "
        "birthday, only the first Monday. Add 'again: always', or 'again: never' if you mean "
        "that.",
    ),
    "J062": (
        "a jump into nothing",
        "There is no journey of this name beside this one, so the run ends here. The name is "
        "that of the other file without .yaml.",
    ),
    "J063": (
        "jumps that go round in a circle",
        "Following the jumps leads back to this journey. Unless its 'again' forbids another "
        "run, a shopper is written to for ever.",
    ),
    "J064": (
        "a journey that ends before it starts",
        "No run begins before 'starts' or from 'ends' on, so this journey never runs. A date "
        "means its first moment: to include the 31st, write the day after.",
    ),
    "J065": (
        "a journey that starts itself",
        "An emit step makes the very event that starts this journey, and 'again' lets it. The "
        "shopper would never come out of it.",
    ),
    "J066": (
        "a message that the quiet hours swallow",
        "A message that comes due as the quiet hours begin waits for their end, but 'if "
        "overdue' gives it up before that. So everything due in the evening is lost, or before a "
        "Sunday or holiday that the rules of your country (config/rules) leave out. Allow more "
        "time than the quiet hours last, or write 'when quiet: skip' if it is meant so.",
    ),
    "J080": (
        "a lawful basis that does not fit",
        "The topic says why the law lets you write (consent, contract or legitimate interest), and "
        "its kind of consent says otherwise. Promotion is never needed to carry out an order, "
        "so it cannot rest on the contract; an opt-out is no consent. Change one of the two, or "
        "leave 'basis' out. This is a rule of thumb, not legal advice.",
    ),
    "J081": (
        "a double opt-in that nobody asks for",
        "A topic needs its yes confirmed, but no journey begins with 'Consent Pending', so nobody "
        "is ever asked or gets anything. Take the shipped confirm-consent.yaml and its "
        "template into your project.",
    ),
    "J067": (
        "two journeys that can together exceed the cap",
        "They begin by the same event or calendar, and what they can send soonest is more than a "
        "cap allows. The cap holds, so a shopper gets no more than that, but which message is "
        "given up is left to chance, for the journeys have the same priority. Give one of them a "
        "higher 'priority', let one wait longer, or write 'when capped: wait'. Journeys whose "
        "triggers have different conditions are taken to be for different shoppers, those "
        "that begin by different events to meet seldom. The table at the end of winback lint "
        "counts all of them.",
    ),
}
