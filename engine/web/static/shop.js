// What the demo shop's pages tell the snippet. The snippet finds Product Viewed by itself.
"use strict";
(() => {
  const data = JSON.parse(document.getElementById("shop-data").textContent);
  const winback = window.winback;
  if (!winback) return;

  // Once a session is enough: the back end has sent the traits, this ties the cookie to them.
  const once = (key, value, act) => {
    if (sessionStorage.getItem(key) === value) return;
    sessionStorage.setItem(key, value);
    act();
  };

  if (data.user) {
    once("shop.user", data.user, () => winback.identify(data.user));
  } else if (sessionStorage.getItem("shop.user")) {
    sessionStorage.removeItem("shop.user");
    winback.reset(); // signed out: whoever comes next is somebody else
  }

  const cart = data.cart;
  const added = /^#added-([a-z]+)$/.exec(location.hash);
  if (cart && added) {
    const product = cart.products.find((each) => each.product_id === added[1]);
    if (product) winback.track("Product Added", { ...product, cart_id: cart.cart_id, currency: cart.currency, cart_url: cart.cart_url });
    // Without the fragment a reload is a reload, not a second thing put into the cart.
    history.replaceState(null, "", location.pathname);
  }
  if (cart && data.checkout) {
    once("shop.checkout", cart.cart_id + cart.value, () => winback.track("Checkout Started", cart));
  }
})();
