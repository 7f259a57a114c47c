"""The standard events and the fields they carry.

From Segment's e-commerce specification, version 2 (CC BY 4.0), with the fields that its
examples show besides its tables. The last group is what Winback itself records.
"""

from __future__ import annotations

_PRODUCT = (
    "product_id sku category name brand variant price quantity coupon currency position value "
    "url image_url"
)
_ORDER = (
    "checkout_id order_id affiliation subtotal total revenue shipping tax discount coupon currency "
    "value products"
)
_STEP = "checkout_id order_id step shipping_method payment_method"
_COUPON = "order_id cart_id coupon_id coupon_name discount reason"
_LIST = "list_id category products filters sorts"
_PROMOTION = "promotion_id creative name position"
_WISHLIST = f"wishlist_id wishlist_name {_PRODUCT}"

_TABLE = {
    "Products Searched": "query products",
    "Product List Viewed": _LIST,
    "Product List Filtered": _LIST,
    "Promotion Viewed": _PROMOTION,
    "Promotion Clicked": _PROMOTION,
    "Product Clicked": _PRODUCT,
    "Product Viewed": _PRODUCT,
    "Product Added": f"cart_id {_PRODUCT}",
    "Product Removed": f"cart_id {_PRODUCT}",
    "Cart Viewed": "cart_id products currency value",
    "Checkout Started": _ORDER,
    "Checkout Step Viewed": _STEP,
    "Checkout Step Completed": _STEP,
    "Payment Info Entered": _STEP,
    "Order Updated": _ORDER,
    "Order Completed": _ORDER,
    "Order Refunded": _ORDER,
    "Order Cancelled": _ORDER,
    "Coupon Entered": _COUPON,
    "Coupon Applied": _COUPON,
    "Coupon Denied": _COUPON,
    "Coupon Removed": _COUPON,
    "Product Added to Wishlist": _WISHLIST,
    "Product Removed from Wishlist": _WISHLIST,
    "Wishlist Product Added to Cart": f"cart_id {_WISHLIST}",
    "Product Shared": f"share_via share_message recipient {_PRODUCT}",
    "Cart Shared": "share_via share_message recipient cart_id products",
    "Product Reviewed": "product_id review_id review_body rating",
    "Segment Entered": "segment",
    "Segment Left": "segment",
    "Calendar Reached": "journey date",
    "Consent Pending": "channel topic yes_at",
}

#: Derived for every event, and the cart's identifiers that shops send with any of them.
_ALWAYS = frozenset({"product_ids", "event_name", "cart_id", "cart_token", "cart_url", "email"})

#: Of these, those that are not Segment's.
OUR_OWN = ("Segment Entered", "Segment Left", "Calendar Reached", "Consent Pending")

#: Fields by event name. Other events may carry anything.
FIELDS: dict[str, frozenset[str]] = {
    name: frozenset(fields.split()) | _ALWAYS for name, fields in _TABLE.items()
}

_MAIL = (
    "Processed, Deferred, Delivered, Bounced, Dropped, Opened, Clicked, Opened By Machine, "
    "Clicked By Machine, Unsubscribed, Resubscribed, Spam Reported, Reported"
)
_TEXT = "Sent, Delivered, Read, Failed, Clicked, Clicked By Machine, Received, Help Requested"

#: Events whose names are known but not their fields.
NAMES = (
    *FIELDS,
    "Identify",
    "Page",
    "Screen",
    "Group",
    "Alias",
    "Consent Given",
    "Consent Withdrawn",
    "Consent Confirmed",
    "Consent Paused",
    "Consent Resumed",
    "SMS Replied",
    "WhatsApp Replied",
    *(f"Email {what}" for what in _MAIL.split(", ")),
    *(f"SMS {what}" for what in _TEXT.split(", ")),
    *(f"WhatsApp {what}" for what in _TEXT.split(", ")),
)

#: What counts as money or as a yes of the shopper, or is Winback's own: a journey that made one
#: up would falsify what was sold, agreed to or delivered.
OTHERS_ONLY = frozenset(
    {
        *("Identify", "Page", "Screen", "Group", "Alias", "Consent Given", "Calendar Reached"),
        *("Consent Pending", "Consent Confirmed", "Consent Paused", "Consent Resumed"),
        *("Order Completed", "Order Updated", "Order Refunded", "Order Cancelled"),
        *(name for name in NAMES if name.startswith(("Email ", "SMS ", "WhatsApp "))),
    }
)


def may_be_emitted(name: str) -> bool:
    """Whether an ``emit`` step may make an event of this name."""
    return name not in OTHERS_ONLY
