// @ts-check
// What a script adds to a page that works without it: progress on the same page, one key for one attempt whatever the
// network does, an address without the token. It knows no words: every screen is made by the server, or is a template of it.
(() => {
  // An older browser goes on with the plain form; one that sent it before this ran, with the page that has a script.
  if (!('timeout' in AbortSignal)) return;
  if (location.search.includes('sent=1')) {
    location.replace(location.href.replace('&sent=1', ''));
    return;
  }
  /** @typedef {{ token?: string, key?: string, body?: string, pressed?: number }} Visit */
  const root = document.documentElement;
  const language = root.lang;
  const said = /** @type {HTMLElement} */ (document.getElementById('said'));
  // Older than this is no longer what the courier wants now: nothing is sent by itself any more.
  const PRESS_MS = 30_000;
  const SLOW_MS = 8_000;
  const DETAILS = ['name', 'company', 'number', 'phone', 'note'];

  let main = /** @type {HTMLElement} */ (document.getElementById('main'));
  let here = main.dataset.here ?? '';
  // Counts presses and their answers: what was asked before is dropped when it comes after.
  let turn = 0;
  let sending = false;
  let waiting = false;
  let looking = false;
  let lookOnce = false;
  /** @type {WebSocket | undefined} */
  let socket;
  let retries = 0;
  /** @type {{ release(): Promise<void> } | undefined} */
  let awake;
  /** @type {number | undefined} */
  let timer;
  /** @type {number | undefined} */
  let slow;

  /** @param {Storage | undefined} store @param {string} name */
  const read = (store, name) => {
    try {
      return JSON.parse(store?.getItem(name) ?? 'null') ?? {};
    } catch {
      return {};
    }
  };
  /** @param {() => Storage} store @param {string} name @param {unknown} value */
  const write = (store, name, value) => {
    try {
      if (value === undefined) store().removeItem(name);
      else store().setItem(name, JSON.stringify(value));
    } catch {
      // A phone that keeps nothing still delivers.
    }
  };
  /** @param {() => Storage} store @returns {Storage | undefined} */
  const open = (store) => {
    try {
      return store();
    } catch {
      return undefined;
    }
  };
  const session = () => sessionStorage;
  const phone = () => localStorage;

  /** @type {Visit} */
  let visit = read(open(session), 'visit');
  const save = () => write(session, 'visit', visit);

  const inAddress = location.pathname.split('/')[2];
  if (inAddress) {
    if (visit.token !== inAddress) visit = { token: inAddress };
    visit.key = new URLSearchParams(location.search).get('try') ?? visit.key;
    save();
    // The token is not left where it is seen, kept in a history, or copied with the address.
    history.replaceState(null, '', '/unlock/' + (here.includes('?') ? '?lang=' + language : ''));
  } else if (visit.token) {
    here = `/unlock/${visit.token}` + (location.search.includes('lang=') ? '?lang=' + language : '');
  }

  /** @param {Record<string, string>} more */
  const address = (more) => here + (here.includes('?') ? '&' : '?') + new URLSearchParams(more);
  const attempted = () => main.dataset.attempt !== undefined;

  /** @param {string} name */
  const template = (name) => /** @type {DocumentFragment} */ (/** @type {HTMLTemplateElement} */ (document.querySelector(`template[data-name=${name}]`)).content.cloneNode(true));

  /** @param {string} name */
  function showOwn(name) {
    const content = template(name);
    const next = /** @type {HTMLElement} */ (content.querySelector('main'));
    for (const more of [...content.children].slice(1)) next.append(more);
    next.dataset.own = '';
    show(next);
  }

  const PLACES = 'h1, a, button, summary, input:not([type=hidden])';

  /** @param {HTMLElement} next */
  function show(next) {
    const same = next.dataset.screen === main.dataset.screen;
    const place = [...main.querySelectorAll(PLACES)].indexOf(/** @type {Element} */ (document.activeElement));
    const opened = [...main.querySelectorAll('details')].map((each) => each.open);
    if (same) merge(next);
    else {
      main.replaceWith(next);
      main = next;
    }
    if (same) main.querySelectorAll('details').forEach((each, index) => (each.open ||= opened[index] ?? false));
    enhance();
    const places = /** @type {NodeListOf<HTMLElement>} */ (main.querySelectorAll(PLACES));
    const wrong = /** @type {HTMLElement | null} */ (main.querySelector('[aria-invalid]'));
    if (wrong) wrong.focus();
    // Whoever was on a thing that is gone goes on where it was, or from the new heading.
    else if (place >= 0 && !main.contains(document.activeElement)) (same ? places[place] : main.querySelector('h1'))?.focus({ preventScroll: true });
    if (same) return;
    scrollTo(0, 0);
    const text = [...main.querySelectorAll('.state > h1, .state > p:not(.counts)')].map((each) => each.textContent).join(' ');
    if (said.textContent !== text) said.textContent = text;
    if (main.dataset.screen === 'open' && navigator.userActivation?.hasBeenActive) navigator.vibrate?.(200);
  }

  /**
   * The same screen with other facts: what it says stays in its place, so that nothing flickers or is read out again.
   * @param {HTMLElement} next
   */
  function merge(next) {
    const state = /** @type {Element} */ (main.querySelector('.state'));
    const other = /** @type {Element} */ (next.querySelector('.state'));
    const kept = state.textContent === other.textContent;
    for (const name of main.getAttributeNames()) if (name !== 'id') main.removeAttribute(name);
    for (const { name, value } of next.attributes) main.setAttribute(name, value);
    for (const child of [...main.children]) if (!kept || child !== state) child.remove();
    let after = !kept;
    for (const child of [...next.children]) {
      if (kept && child === other) after = true;
      else if (after) main.append(child);
      else state.before(child);
    }
  }

  /** @param {string} text */
  function take(text) {
    const next = /** @type {HTMLElement | null} */ (new DOMParser().parseFromString(text, 'text/html').getElementById('main'));
    if (next === null) throw new Error('not a page of ours');
    if (next.dataset.version !== root.dataset.version) next.prepend(template('old'));
    return next;
  }

  function enhance() {
    clearTimeout(timer);
    const form = main.querySelector('form');
    if (form) prepare(form);
    localise();
    ring();
    const { look, live } = main.dataset;
    if (live === undefined) leave();
    else listen();
    const seconds = Number(look);
    if (!look || main.dataset.own !== undefined) return;
    const shown = main.querySelector('[data-n]');
    const until = Date.now() + seconds * 1_000;
    // With a socket news come by themselves; what is counted down on the screen is kept to.
    const counted = shown !== null && main.querySelector('.counts') !== null;
    if (!counted) {
      timer = setTimeout(() => refresh(), (socket?.readyState === 1 ? Math.max(seconds, 15) : seconds) * 1_000);
      return;
    }
    const tick = () => {
      const left = Math.ceil((until - Date.now()) / 1_000);
      shown.textContent = String(Math.max(0, left));
      if (left > 0) timer = setTimeout(tick, 1_000);
      else if (main.dataset.screen !== 'too-many') void refresh();
    };
    timer = setTimeout(tick, 1_000);
  }

  /** @param {HTMLFormElement} form */
  function prepare(form) {
    const remembered = read(open(phone), 'courier');
    const typed = read(open(session), 'details');
    const field = (/** @type {string} */ name) => /** @type {HTMLInputElement} */ (form.elements.namedItem(name));
    for (const name of DETAILS) field(name).value ||= typed[name] ?? remembered[name] ?? '';
    if (field('phone').value || field('note').value) /** @type {HTMLDetailsElement} */ (form.querySelector('.more')).open = true;
    // What is needed and not there is not asked for behind a closed door.
    const who = /** @type {HTMLDetailsElement | null} */ (form.querySelector('.who'));
    if (who && !form.checkValidity()) who.open = true;
    const box = /** @type {HTMLInputElement} */ (form.querySelector('#remember'));
    /** @type {HTMLElement} */ (form.querySelector('.check')).hidden = false;
    box.checked = Object.keys(remembered).length > 0;
    const keep = () => {
      const details = Object.fromEntries(DETAILS.map((name) => [name, field(name).value]));
      write(session, 'details', details);
      // A note is of this parcel, not of this courier.
      write(phone, 'courier', box.checked ? { ...details, note: '' } : undefined);
    };
    form.addEventListener('input', keep);
    form.addEventListener('submit', (event) => {
      event.preventDefault();
      if (sending) return;
      keep();
      const data = new URLSearchParams();
      new FormData(form).forEach((value, name) => data.append(name, typeof value === 'string' ? value : ''));
      visit.key = data.get('key') ?? undefined;
      visit.body = String(data);
      visit.pressed = Date.now();
      save();
      press();
    });
  }

  function press() {
    waiting = !navigator.onLine;
    if (waiting) showOwn('phone-offline');
    else {
      showOwn('asking');
      void send();
    }
  }

  const fresh = () => visit.body !== undefined && Date.now() - (visit.pressed ?? 0) < PRESS_MS && document.visibilityState === 'visible';

  async function send() {
    if (sending) return;
    const mine = ++turn;
    sending = true;
    clearTimeout(slow);
    slow = setTimeout(() => {
      if (sending && main.dataset.own !== undefined) showOwn('slow');
    }, SLOW_MS);
    listen();
    try {
      const response = await fetch(here, { method: 'POST', body: new URLSearchParams(visit.body), headers: { 'Loqey-Part': 'main' }, signal: AbortSignal.timeout(40_000), cache: 'no-store' });
      const next = take(await response.text());
      sending = false;
      turn++;
      // Proven that nothing came of it: the form that came back has the key of the next attempt.
      const { attempt } = next.dataset;
      if (attempt === undefined) visit.key = next.querySelector('input')?.value ?? visit.key;
      delete visit.body;
      save();
      show(next);
      retries = 0;
    } catch {
      sending = false;
      if (mine === turn) await lost();
    } finally {
      clearTimeout(slow);
    }
  }

  /** Sent, or not, and no answer: the server knows by the key whether anything came of it. */
  async function lost() {
    if (!navigator.onLine) return showOwn('phone-lost');
    if (attempted()) return refresh();
    const pause = Math.min(8_000, 500 * 2 ** retries++);
    if (!fresh() && retries > 3) return showOwn('slow');
    await new Promise((resolve) => setTimeout(resolve, pause));
    return recover();
  }

  async function recover() {
    const mine = turn;
    try {
      const next = await ask();
      if (mine !== turn || sending) return undefined;
      if (next.dataset.attempt === undefined && fresh()) {
        showOwn('asking');
        return await send();
      }
      retries = 0;
      show(next);
    } catch {
      if (mine === turn && !sending) await lost();
    }
    return undefined;
  }

  async function ask() {
    const response = await fetch(address(visit.key ? { try: visit.key } : {}), { headers: { 'Loqey-Part': 'main' }, signal: AbortSignal.timeout(15_000), cache: 'no-store' });
    return take(await response.text());
  }

  /**
   * Looks again. One look at a time; what happens meanwhile is worth one more.
   * @param {boolean} [anyhow] also where a form may be being filled in
   */
  async function refresh(anyhow = false) {
    if (looking) {
      lookOnce = true;
      return;
    }
    looking = true;
    const mine = turn;
    try {
      const next = await ask();
      // While a press is on its way only what came of it is news.
      const news = mine === turn && (!sending || next.dataset.attempt !== undefined);
      // A form that somebody may be filling in is left alone while nothing has changed.
      if (news && (anyhow || main.dataset.screen !== 'ready' || next.dataset.screen !== 'ready')) show(next);
      else if (mine !== turn && attempted()) lookOnce = true;
    } catch {
      if (mine === turn && !sending) {
        if (!navigator.onLine && attempted() && main.dataset.live !== undefined) showOwn('phone-lost');
        else timer = setTimeout(refresh, 5_000, anyhow);
      }
    }
    looking = false;
    if (lookOnce) {
      lookOnce = false;
      void refresh();
    }
  }

  function listen() {
    if (navigator.wakeLock && !awake && attempted()) {
      navigator.wakeLock.request('screen').then((lock) => (awake = lock), () => undefined);
    }
    if (socket || !visit.token || !('WebSocket' in window)) return;
    /** @type {WebSocket} */
    let mine;
    try {
      mine = socket = new WebSocket(`${location.protocol.replace('http', 'ws')}//${location.host}/ws/delivery/${visit.token}`);
    } catch {
      return; // a browser that does not count a socket as 'self': it asks instead
    }
    let first = true;
    mine.onmessage = () => {
      // The first word only says that it listens; before it something may have gone by.
      if (!first || attempted()) void refresh();
      first = false;
    };
    mine.onclose = () => {
      if (socket !== mine) return;
      socket = undefined;
      if (main.dataset.live !== undefined && attempted()) setTimeout(() => main.dataset.live !== undefined && listen(), 3_000);
    };
  }

  function leave() {
    if (sending || main.dataset.own !== undefined) return;
    const old = socket;
    socket = undefined;
    old?.close();
    awake?.release().catch(() => undefined);
    awake = undefined;
  }

  /** Times of a box whose place nobody told are shown as the phone beside it shows them. */
  function localise() {
    const zone = new Intl.DateTimeFormat().resolvedOptions().timeZone;
    const locale = language === 'en' ? 'en-GB' : language;
    for (const time of main.querySelectorAll('time')) {
      const { zone: own, form } = time.dataset;
      if (own && own !== zone) continue;
      const date = new Date(time.dateTime);
      /** @type {Intl.DateTimeFormatOptions} */
      const options = { hour: '2-digit', minute: '2-digit', hourCycle: 'h23' };
      if (form === 'second') options.second = '2-digit';
      else if (date.toDateString() !== new Date().toDateString()) Object.assign(options, { weekday: 'short', day: 'numeric', month: 'short' });
      time.textContent = new Intl.DateTimeFormat(locale, options).format(date);
    }
  }

  function ring() {
    const { until } = main.dataset;
    const circle = main.querySelector('.ring circle');
    if (!until || !circle || matchMedia('(prefers-reduced-motion: reduce)').matches) return;
    const left = Date.parse(until) - Date.now();
    const past = Math.max(0, 1 - left / PRESS_MS) * 100;
    if (left > 0) circle.animate([{ strokeDashoffset: past }, { strokeDashoffset: 100 }], { duration: left, fill: 'forwards' });
  }

  document.addEventListener('click', (event) => {
    const target = /** @type {HTMLElement} */ (event.target);
    if (target.closest('[data-again]')) void (sending ? refresh() : recover());
    if (target.closest('[data-reload]')) location.assign(address(visit.key ? { try: visit.key } : {}));
    if (target.closest('[data-anew]')) {
      event.preventDefault();
      visit = { token: visit.token };
      save();
      turn++;
      void refresh();
    }
  });
  addEventListener('online', () => {
    if (sending) return;
    if (waiting && fresh()) {
      waiting = false;
      press();
    } else if (main.dataset.own !== undefined || attempted()) {
      waiting = false;
      void recover();
    }
  });
  document.addEventListener('visibilitychange', () => {
    awake = undefined;
    if (document.visibilityState === 'visible' && !sending && !waiting && (attempted() || main.dataset.own !== undefined)) void recover();
  });
  addEventListener('pageshow', (event) => {
    if (event.persisted && !sending) void refresh();
  });

  root.className = 'js';
  enhance();
  // Back on a page that was pressed before: what came of it.
  if (inAddress ? visit.key && visit.key !== main.dataset.attempt : visit.token) {
    main.style.visibility = 'hidden';
    const stale = main;
    setTimeout(() => (stale.style.visibility = ''), 1_500);
    void refresh(true);
  }
})();
