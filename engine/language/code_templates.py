"""The findings about templates, of which the journeys know by name only."""

from __future__ import annotations

TEMPLATE_ERRORS = {
    "T001": (
        "a template that is not there",
        "The template has no file for this channel, or its name cannot be one. A template is a "
        "folder in templates/ with a file for each channel and language: "
        "templates/win-back/email.en.mjml, templates/win-back/sms.en.txt.",
    ),
    "T002": (
        "a template that cannot be used",
        "The file, or one that it extends or includes, is not sound: Jinja that does not compile, "
        "MJML that shows nothing, a block at the top without a subject. No message of this "
        "template can be sent in this language. templates/README.md tells how they are written.",
    ),
}

TEMPLATE_WARNINGS = {
    "T003": (
        "a value that nothing provides",
        "The template prints a value that none of the journeys that use it can give: no such name "
        "is known, or the specification of the event that starts them has no such field. Where it "
        "is missing the message fails and nothing is sent. Put it into {% if event.name %}, or "
        "write what to print instead: {{ event.name | default('it') }}. If your shop sends the "
        "field besides the specification, all is well.",
    ),
    "T004": (
        "an offer that nobody makes",
        "The template prints something of 'offer', but in this journey no offer comes before "
        "the message, or the offer has no such part. The message fails and nothing is sent. Add "
        "'offer' to the step that sends, or a step 'offer' before it, or put the passage into "
        "{% if offer %}.",
    ),
    "T005": (
        "a text message of many segments",
        "Operators bill a text message by segments: 160 letters of plain English, 70 as soon as "
        "one letter is not in the old alphabet of telephones (153 and 67 where there are "
        "several). With usual values this one needs more than 'sms: {max segments}' of "
        "config/winback.yaml allows. Make it shorter, or let it be written in plainer letters: "
        "'transliterate: true' between two lines '---' at its top.",
    ),
    "T006": (
        "a picture without words",
        "Many mail programs show pictures only on demand, and some people never see them. Say in "
        "'alt' what the picture shows; alt=\"\" for one that says nothing.",
    ),
    "T007": (
        "a picture without a width",
        "Until a picture has come the mail does not know how wide it is, and jumps; Outlook shows "
        'it in its full size. Write width="280", or use {{ event.image_url | '
        "picture(event.name, 280) }}.",
    ),
}
