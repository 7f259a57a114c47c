// Winback's tracking snippet (ES2017). On every page of the shop:
//   <script>window.winback = window.winback || []</script>
//   <script async src="https://SHOP/winback.js" data-key="WRITE KEY"></script>
// At any time: winback.push(["track", "Product Added", {...}]); once it has loaded also
// winback.identify(id, traits), .track(name, properties), .page(properties), .reset().
// data-respect-dnt="false": heed only Global Privacy Control. data-domain="shop.example": one
// cookie for all subdomains.
(() => {
  "use strict";
  const script = document.currentScript;
  const early = window.winback || [];
  if (!script || !Array.isArray(early)) return; // it is here already
  const config = script.dataset;
  const key = config.key || config.writeKey;
  const endpoint = script.src.replace(/\/[^/]*$/, "") + "/v1/batch";
  const QUEUE = "winback.queue.";
  const COOKIE = "winback_id=";
  const MAX_QUEUED = 500;
  const MAX_BYTES = 60000; // browsers let 64 KB leave with a closing page

  // --- a small store: localStorage, or memory where that is full or forbidden
  const memory = {};
  let local = null;
  try {
    local = window.localStorage;
  } catch (e) {} // forbidden: memory it is
  const get = (name) => (name in memory ? memory[name] : local && local.getItem(name));
  const put = (name, value) => {
    try {
      local.setItem(name, value);
    } catch (e) {
      memory[name] = value;
    }
  };
  const drop = (name) => {
    delete memory[name];
    if (local) local.removeItem(name);
  };
  // Each event has a key of its own, so that two tabs never overwrite each other's.
  const queued = () =>
    Object.keys(local || {}).concat(Object.keys(memory)).filter((name) => name.startsWith(QUEUE)).sort();
  const setCookie = (value, seconds) => {
    document.cookie =
      COOKIE + value + ";path=/;max-age=" + seconds + ";samesite=lax" +
      (location.protocol === "https:" ? ";secure" : "") + (config.domain ? ";domain=" + config.domain : "");
  };

  // --- no means no: nothing stored, nothing sent, what was stored is gone
  const dnt = navigator.doNotTrack || window.doNotTrack;
  if (navigator.globalPrivacyControl || (config.respectDnt !== "false" && (dnt === "1" || dnt === "yes"))) {
    if (document.cookie.includes(COOKIE)) setCookie("", 0);
    queued().concat("winback.id", "winback.user").forEach(drop);
    const nothing = () => {};
    window.winback = { push: nothing, identify: nothing, track: nothing, page: nothing, reset: nothing };
    return;
  }

  // --- who: a first-party id, 400 days (as long as browsers keep one) from the last visit
  const uuid = () =>
    crypto.randomUUID // not on pages without TLS
      ? crypto.randomUUID()
      : "10000000-1000-4000-8000-100000000000".replace(/[018]/g, (c) =>
          (c ^ (crypto.getRandomValues(new Uint8Array(1))[0] & (15 >> (c / 4)))).toString(16));
  const keepId = (id) => {
    setCookie(id, 34560000);
    put("winback.id", id);
    return id;
  };
  const cookie = new RegExp("(?:^|; )" + COOKIE + "([\\w-]+)").exec(document.cookie);
  let anonymousId = keepId((cookie && cookie[1]) || get("winback.id") || uuid());

  // --- sending: kept until the collector has answered, tried again with the same messageId
  let sending = [];
  let timer = 0;
  let failures = 0;
  const size = (text) => new Blob([text]).size;
  const batch = (names) => {
    const taken = [];
    const events = [];
    let bytes = 0;
    for (const name of names) {
      const event = get(name); // null: another tab has sent it
      bytes += event ? size(event) : 0;
      if (bytes > MAX_BYTES) break;
      if (event && taken.push(name)) events.push(event);
    }
    const frame = JSON.stringify({ sentAt: new Date(), writeKey: key });
    return { taken, body: '{"batch":[' + events + "]," + frame.slice(1) };
  };
  const later = (milliseconds) => {
    clearTimeout(timer);
    timer = setTimeout(send, milliseconds);
  };
  const send = () => {
    const { taken, body } = batch(queued());
    if (sending.length || !taken.length) return;
    sending = taken;
    // A string goes as text/plain: no preflight.
    fetch(endpoint, { method: "POST", body, keepalive: true, credentials: "omit" })
      .then((answer) => {
        // 400 and 413 will be the same next time; all else may be better then.
        if (!answer.ok && answer.status !== 400 && answer.status !== 413) throw answer;
        taken.forEach(drop);
        failures = 0;
      })
      .catch(() => {
        failures += 1;
      })
      .then(() => {
        sending = [];
        if (queued().length) later(failures ? Math.min(500 * 2 ** failures, 300000) * (0.5 + Math.random()) : 0);
      });
  };
  // Nobody tells whether a beacon arrives: what it carries is sent again by the next page.
  const leave = () => {
    const { taken, body } = batch(queued().filter((name) => !sending.includes(name)));
    if (taken.length && navigator.sendBeacon) navigator.sendBeacon(endpoint, body);
  };

  // --- what happened
  const where = () => ({
    url: location.href,
    path: location.pathname,
    search: location.search,
    referrer: document.referrer,
    title: document.title,
  });
  let count = 0;
  const record = (type, fields) => {
    const event = Object.assign(fields, {
      type,
      messageId: uuid(),
      anonymousId,
      userId: get("winback.user") || undefined,
      timestamp: new Date(),
      context: {
        page: where(),
        locale: navigator.language,
        timezone: Intl.DateTimeFormat().resolvedOptions().timeZone,
        userAgent: navigator.userAgent,
      },
    });
    const json = JSON.stringify(event);
    if (size(json) > 32000) return console.warn("winback: " + type + " is larger than 32 KB, not sent");
    const names = queued();
    names.slice(0, Math.max(0, names.length - MAX_QUEUED + 1)).forEach(drop);
    const order = Date.now().toString(36) + (count++).toString(36).padStart(4, "0");
    put(QUEUE + order + event.messageId, json);
    if (!failures) later(20);
  };

  // --- schema.org: the product that this page is about
  const first = (value) => (Array.isArray(value) ? value[0] : value);
  const text = (value, field) => {
    const found = first(value);
    return found && typeof found === "object" ? first(found[field || "name"] || found.contentUrl) : found;
  };
  const products = (node) => {
    if (Array.isArray(node)) return [].concat(...node.map(products));
    if (!node || typeof node !== "object") return [];
    const isProduct = [].concat(node["@type"]).some((type) => /(^|\/)Product(Group)?$/.test(type));
    return isProduct ? [node] : products(node["@graph"]).concat(products(node.mainEntity));
  };
  const absolute = (url) => {
    try {
      return url && new URL(url, location.href).href;
    } catch (e) {
      return undefined; // not a URL: leave it out
    }
  };
  const amount = (price) => {
    const digits = String(price === undefined ? "" : price).replace(/[^\d.,]/g, "");
    const plain = /,\d{1,2}$/.test(digits) ? digits.replace(/\./g, "").replace(",", ".") : digits.replace(/,/g, "");
    return plain && isFinite(plain) ? Number(plain) : undefined;
  };
  const productOfPage = () => {
    const found = [];
    document.querySelectorAll('script[type="application/ld+json"]').forEach((block) => {
      try {
        found.push(...products(JSON.parse(block.textContent)));
      } catch (e) {} // one broken block hides no other
    });
    // Several are a list, unless one of them says that it is this page's.
    const here = location.origin + location.pathname;
    const own = (node) => (absolute(text(node.url)) || "").replace(/[?#].*/, "") === here;
    const node = found.length > 1 ? found.find(own) : found[0];
    if (!node) return null;
    const offer = first(node.offers || (first(node.hasVariant) || {}).offers) || {};
    const price = first(offer.priceSpecification) || {};
    const url = absolute(text(node.url) || text(offer.url)) || here;
    return {
      product_id: String(text(node.sku) || text(node.productID) || node.productGroupID || url),
      sku: text(node.sku),
      name: node.name,
      brand: text(node.brand),
      category: text(node.category),
      price: amount([offer.price, offer.lowPrice, price.price].find((value) => value !== undefined)),
      currency: offer.priceCurrency || price.priceCurrency,
      image_url: absolute(text(node.image, "url")),
      url,
    };
  };

  let seen = "";
  const api = {
    anonymousId: () => anonymousId,
    identify: (id, traits) => {
      if (id && typeof id === "object") return api.identify(null, id);
      const before = get("winback.user");
      // Somebody else at the same browser.
      if (id && before && before !== String(id)) api.reset();
      if (id) put("winback.user", String(id));
      record("identify", { traits: traits || {} });
    },
    track: (name, properties) => record("track", { event: name, properties: properties || {} }),
    page: (properties) => {
      record("page", { properties: Object.assign(where(), properties) });
      const product = productOfPage();
      if (product && product.product_id !== seen) api.track("Product Viewed", product);
      seen = product ? product.product_id : "";
    },
    reset: () => {
      drop("winback.user");
      anonymousId = keepId(uuid());
    },
    push: (...calls) => calls.forEach(([name, ...rest]) => api[name] && api[name](...rest)),
  };
  window.winback = api;

  api.push(...early);
  const start = () => api.page();
  if (document.readyState === "loading") document.addEventListener("DOMContentLoaded", start);
  else start();
  later(0); // what the last page left
  addEventListener("online", () => later((failures = 0)));
  addEventListener("pagehide", leave);
  addEventListener("pageshow", (event) => {
    if (!event.persisted) return;
    seen = ""; // back by the browser's button: looked at once more
    api.page();
  });
})();
