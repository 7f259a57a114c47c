"""The demo shop's pages. Reading a page changes nothing; forms post, from this site only.

What the browser reports comes from the snippet: Product Viewed from the page's JSON-LD, and
what ``static/shop.js`` reads from the data block ``#shop-data``.
"""

from __future__ import annotations

import json
import secrets
from typing import Any, cast

from flask import (
    Blueprint,
    Response,
    abort,
    redirect,
    render_template,
    request,
    session,
    url_for,
)
from werkzeug.wrappers import Response as BaseResponse

from engine.model.address import NotAnAddress, mailbox, number
from engine.store.database import to_json
from engine.web.demo import basket
from engine.web.demo.back_end import identified, ordered
from engine.web.demo.catalogue import CURRENCY, PRODUCTS, Product, price_text
from engine.web.demo.parts import parts
from engine.web.demo.safety import protect, refuse_foreign_posts
from engine.web.demo.words import LANGUAGES, RIGHT_TO_LEFT, words

Page = str | BaseResponse


class WrongForm(Exception):
    """What was entered cannot be used; the text is a key of the shop's words."""


blueprint = Blueprint("shop", __name__, template_folder="templates", url_prefix="/shop")
blueprint.before_request(refuse_foreign_posts)
blueprint.after_request(protect)


def _page(template: str, *, status: int = 200, data: Any = None, **values: Any) -> Response:
    demo, language = parts(), basket.language()
    body = render_template(
        f"shop/{template}.html",
        w=words(language),
        language=language,
        languages=LANGUAGES,
        direction="rtl" if language in RIGHT_TO_LEFT else "ltr",
        shop_name=demo.shop_name,
        write_key=demo.write_key,
        shopper=basket.shopper(),
        cart_count=sum(line.quantity for line in basket.lines()),
        price=price_text,
        speed=demo.clock.speed,
        shop_data={"user": basket.shopper().get("id", ""), **(data or {})},
        **values,
    )
    return Response(body, status=status, mimetype="text/html")


def _products() -> list[dict[str, Any]]:
    return basket.products_for_event(basket.language(), parts().public_url)


def _cart_data() -> dict[str, Any]:
    """The cart for the page's script, its money as JavaScript's numbers."""
    data = {
        "cart_id": basket.cart_id(),
        "products": _products(),
        "value": basket.total(),
        "currency": CURRENCY,
        "cart_url": f"{parts().public_url}/shop/cart",
    }
    return cast(dict[str, Any], json.loads(to_json(data)))


@blueprint.get("/")
def front() -> Page:
    return _page("front", products=PRODUCTS.values())


@blueprint.get("/products/<id>")
def product(id: str) -> Page:
    item = PRODUCTS.get(id)
    if item is None:
        return _page("missing", status=404)
    others = [p for p in PRODUCTS.values() if p is not item and p.category == item.category]
    return _page(
        "product",
        product=item,
        others=others[:4],
        structured=structured_data(item, basket.language(), parts().public_url),
    )


@blueprint.get("/cart")
def cart() -> Page:
    return _page("cart", lines=basket.lines(), total=basket.total(), data={"cart": _cart_data()})


@blueprint.post("/cart/<id>")
def put_in(id: str) -> Page:
    item = PRODUCTS.get(id) or abort(404)
    basket.begin()
    basket.change(item, 1)
    # The fragment tells shop.js what to report, once, without the server remembering it.
    return redirect(url_for("shop.cart", _anchor=f"added-{item.id}"), 303)


@blueprint.post("/cart/<id>/remove")
def take_out(id: str) -> Page:
    basket.change(PRODUCTS.get(id) or abort(404), -basket.MOST_OF_ONE)
    return redirect(url_for("shop.cart", _anchor=f"removed-{id}"), 303)


@blueprint.get("/checkout")
def checkout() -> Page:
    if not basket.lines():
        return redirect(url_for("shop.cart"), 303)
    return _page(
        "checkout",
        lines=basket.lines(),
        total=basket.total(),
        form={"email": basket.shopper().get("email", "")},
        data={"cart": _cart_data(), "checkout": True},
    )


@blueprint.post("/checkout")
def buy() -> Page:
    lines, total = basket.lines(), basket.total()
    if not lines:
        return redirect(url_for("shop.cart"), 303)
    try:
        email, phone = _address(), _phone()
    except WrongForm as wrong:
        return _page(
            "checkout", status=400, lines=lines, total=total, form=request.form, wrong=str(wrong)
        )
    at, order_id = parts().clock.now(), f"W-{secrets.token_hex(4).upper()}"
    user_id = basket.shopper().get("id", "")
    parts().report(
        [
            identified(
                at,
                email=email,
                user_id=user_id,
                phone=phone,
                language=basket.language(),
                consent=_consent() if "ask" in request.form else None,
            ),
            ordered(
                at,
                order_id=order_id,
                email=email,
                user_id=user_id,
                total=total,
                currency=CURRENCY,
                products=_products(),
                cart_id=basket.cart_id(),
            ),
        ]
    )
    basket.empty()
    return redirect(url_for("shop.thanks", order_id=order_id), 303)


@blueprint.get("/thanks/<order_id>")
def thanks(order_id: str) -> Page:
    return _page("thanks", order_id=order_id[:20])


@blueprint.get("/sign-in")
def sign_in_form() -> Page:
    return _page("sign_in", form={})


@blueprint.post("/sign-in")
def sign_in() -> Page:
    try:
        email, phone = _address(), _phone()
    except WrongForm as wrong:
        return _page("sign_in", status=400, form=request.form, wrong=str(wrong))
    name = request.form.get("name", "").strip()[:60]
    user_id = basket.sign_in(email, name)
    parts().report(
        [
            identified(
                parts().clock.now(),
                email=email,
                user_id=user_id,
                name=name,
                phone=phone,
                language=basket.language(),
                consent=_consent(),
            )
        ]
    )
    return redirect(url_for("shop.front"), 303)


@blueprint.post("/sign-out")
def sign_out() -> Page:
    basket.sign_out()
    return redirect(url_for("shop.front"), 303)


@blueprint.post("/language")
def choose_language() -> Page:
    if request.form.get("language") in LANGUAGES:
        session["language"] = request.form["language"]
    back = request.form.get("back", "")
    return redirect(back if back.startswith("/shop/") else url_for("shop.front"), 303)


def structured_data(product: Product, language: str, public_url: str) -> dict[str, Any]:
    """The page's product as schema.org says it (https://schema.org/Product).

    ``public_url`` is what its addresses begin with."""
    url = f"{public_url}/shop/products/{product.id}"
    return {
        "@context": "https://schema.org",
        "@type": "Product",
        "productID": product.id,
        "sku": product.id,
        "name": product.names[language],
        "description": product.blurbs[language],
        "category": product.category,
        "image": f"{public_url}/static/products/{product.id}.svg",
        "url": url,
        "offers": {
            "@type": "Offer",
            "price": f"{product.price:.2f}",
            "priceCurrency": CURRENCY,
            "availability": "https://schema.org/InStock",
            "url": url,
        },
    }


def _address() -> str:
    try:
        return mailbox(request.form.get("email", "").strip()).address
    except NotAnAddress as error:
        raise WrongForm("wrong_email") from error


def _phone() -> str:
    text = request.form.get("phone", "").strip()
    try:
        return number(text) if text else ""
    except NotAnAddress as error:
        raise WrongForm("wrong_phone") from error


def _consent() -> dict[str, bool]:
    return {channel: f"consent_{channel}" in request.form for channel in ("email", "sms")}
