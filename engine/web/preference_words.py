"""The words of the preference page, in the languages that Winback ships."""

from __future__ import annotations

from collections.abc import Iterable
from typing import NamedTuple


class Words(NamedTuple):
    """One language. ``{topic}`` and ``{shop}`` are filled in by the page."""

    lang: str
    dir: str
    title: str
    ask: str
    stop_topic: str
    stop_all: dict[str, str]
    choose: str
    left: str
    left_note: str
    choose_title: str
    choose_note: str
    save: str
    saved: str
    channels: dict[str, str]
    unknown: str
    unknown_note: str


WORDS = {
    "en": Words(
        lang="en",
        dir="ltr",
        title="Your messages from {shop}",
        ask="Stop these messages?",
        stop_topic="Stop “{topic}”",
        stop_all={
            "email": "Stop all marketing emails",
            "sms": "Stop all marketing texts",
        },
        choose="Choose what you get",
        left="Done. You will not get these messages any more.",
        left_note="One that was already on its way may still arrive. You can change your mind:",
        choose_title="What may we send you?",
        choose_note="Messages about your orders always come.",
        save="Save",
        saved="Saved.",
        channels={"email": "Email", "sms": "Text message"},
        unknown="This link does not work",
        unknown_note="It may have been cut off in the mail. Open it again from the message, or "
        "write to us and we will stop our messages.",
    ),
    "hi": Words(
        lang="hi",
        dir="ltr",
        title="{shop} से आपके संदेश",
        ask="क्या ये संदेश बंद करें?",
        stop_topic="“{topic}” बंद करें",
        stop_all={
            "email": "सभी प्रचार ईमेल बंद करें",
            "sms": "सभी प्रचार SMS बंद करें",
        },
        choose="चुनें कि आपको क्या मिले",
        left="हो गया। अब आपको ये संदेश नहीं मिलेंगे।",
        left_note="जो संदेश पहले ही भेजा जा चुका है, वह अब भी आ सकता है। आप अपना मन बदल सकते हैं:",
        choose_title="हम आपको क्या भेज सकते हैं?",
        choose_note="आपके ऑर्डर के बारे में संदेश हमेशा आते हैं।",
        save="सहेजें",
        saved="सहेज लिया गया।",
        channels={"email": "ईमेल", "sms": "SMS"},
        unknown="यह लिंक काम नहीं करता",
        unknown_note="हो सकता है कि मेल में लिंक अधूरा रह गया हो। उसे संदेश से फिर खोलें, या हमें लिखें "
        "और हम संदेश बंद कर देंगे।",
    ),
    "ur": Words(
        lang="ur",
        dir="rtl",
        title="{shop} کی طرف سے آپ کے پیغامات",
        ask="کیا یہ پیغامات بند کر دیے جائیں؟",
        stop_topic="”{topic}“ بند کریں",
        stop_all={
            "email": "تمام تشہیری ای میلز بند کریں",
            "sms": "تمام تشہیری ایس ایم ایس بند کریں",
        },
        choose="منتخب کریں کہ آپ کو کیا ملے",
        left="ہو گیا۔ اب آپ کو یہ پیغامات نہیں ملیں گے۔",
        left_note="جو پیغام پہلے ہی روانہ ہو چکا ہے وہ اب بھی آ سکتا ہے۔ "
        "آپ اپنا ارادہ بدل سکتے ہیں:",
        choose_title="ہم آپ کو کیا بھیج سکتے ہیں؟",
        choose_note="آپ کے آرڈر سے متعلق پیغامات ہمیشہ آتے ہیں۔",
        save="محفوظ کریں",
        saved="محفوظ ہو گیا۔",
        channels={"email": "ای میل", "sms": "ایس ایم ایس"},
        unknown="یہ لنک کام نہیں کرتا",
        unknown_note="ممکن ہے میل میں لنک ادھورا رہ گیا ہو۔ اسے پیغام سے دوبارہ کھولیں، "
        "یا ہمیں لکھیں اور ہم پیغامات بند کر دیں گے۔",
    ),
}


def language_of(tags: Iterable[str]) -> str:
    """The first of ``tags`` (BCP 47) that we have words for, else English."""
    for tag in tags:
        language = tag.replace("_", "-").partition("-")[0].lower()
        if language in WORDS:
            return language
    return "en"
