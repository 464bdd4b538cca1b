import { brotliDecompressSync, gunzipSync } from 'node:zlib';
import { request } from 'node:http';
import { afterAll, beforeAll, beforeEach, describe, expect, test } from 'vitest';
import { AppendOutcomeUnknown } from '../../src/platform/event-store/port.ts';
import { NOW } from '../support/world.ts';
import { defaultRateLimits } from '../../src/api/settings.ts';
import { ago, KEY, progress, read, startPage, TOKEN, type PageServer } from './support.ts';

let page: PageServer;
beforeEach(async () => {
  page = await startPage();
  return () => page.stop();
});

const at = (seconds: number) => ago(seconds, NOW);
const used = { status: 'used', isActive: false, currentUses: 1, usedAt: '2026-11-21T09:58:00.000Z' } as const;
const sent = { requestedAt: at(3), dispatchedAt: at(3), publishedAt: at(3) };
const post = (fields: Readonly<Record<string, string>> = {}, language = 'en') => page.post({ key: KEY, ...fields }, { 'accept-language': language });

interface Case {
  readonly set: () => void;
  /** Of the page that shows it. */
  readonly status?: number;
  /** Sends the form; else the page is looked at, with the key of an attempt where one was made. */
  readonly press?: boolean;
  readonly screen: string;
  readonly en: readonly [heading: string, text: string];
  readonly tr: readonly [heading: string, text: string];
}

const notUsedUp = 'It did not open, and will not open later by itself. Your link has not been used up.';
const hakkinizDuruyor = 'Açılmadı, daha sonra da kendiliğinden açılmaz. Kullanım hakkınız duruyor.';

/** Every case in its exact words. Times are those of the zone of the server, which is named: nobody told that of the box. */
const cases: Readonly<Record<string, Case>> = {
  'ready': {
    set: () => undefined,
    screen: 'ready',
    en: ['Mill Lane 12', '12 Mill Lane Works once, until Sun 22 Nov, 08:00 UTC'],
    tr: ['Mill Lane 12', '12 Mill Lane Bir kez çalışır. Son geçerlilik: 22 Kas Paz 08:00 UTC'],
  },
  'ends soon': {
    set: () => page.change({ expiresAt: at(-9 * 60 + 20) }),
    screen: 'ready',
    en: ['Mill Lane 12', '12 Mill Lane This link ends in 9 minutes.'],
    tr: ['Mill Lane 12', '12 Mill Lane Bu bağlantının süresi 9 dakika içinde doluyor.'],
  },
  'asked': {
    set: () => (page.change(used), page.attempt({ ...sent, publishedAt: null, state: 'dispatched' })),
    screen: 'asking',
    en: ['Asking the box to open…', 'Stay with the box.'],
    tr: ['Kutudan açılması isteniyor…', 'Kutunun yanında kalın.'],
  },
  'the box took it': {
    set: () => (page.change(used), page.attempt({ ...sent, state: 'acknowledged', acknowledgedAt: at(2) })),
    screen: 'opening',
    en: ['The box is opening…', 'Stay with the box.'],
    tr: ['Kutu açılıyor…', 'Kutunun yanında kalın.'],
  },
  'the bolt moved': {
    set: () => (page.change(used), page.attempt({ ...sent, state: 'opened', openedAt: at(1) })),
    screen: 'open',
    en: ['The box is open.', 'Put the parcel in, then push the door until it clicks.'],
    tr: ['Kutu açık.', 'Paketi içine koyun, sonra kapağı tık sesi gelene kadar itin.'],
  },
  'the door stays open': {
    set: () => (page.change(used), page.attempt({ ...sent, requestedAt: at(70), state: 'opened', openedAt: at(68) }), page.says('door_opened', at(61))),
    screen: 'door-open',
    en: ['The door is still open.', 'Push it until it clicks.'],
    tr: ['Kapak hâlâ açık.', 'Tık sesi gelene kadar itin.'],
  },
  'the door closed': {
    set: () => (page.change(used), page.attempt({ ...sent, requestedAt: at(70), state: 'opened', openedAt: at(68) }), page.says('door_opened', at(61)), page.says('door_closed', at(40))),
    screen: 'delivered',
    en: ['Delivered. Thank you.', 'The door is closed. You can go.'],
    tr: ['Teslim edildi. Teşekkürler.', 'Kapak kapandı. Gidebilirsiniz.'],
  },
  'opened by this visit': {
    set: () => (page.change(used), page.attempt({ ...sent, requestedAt: at(4_000), state: 'opened', openedAt: at(3_600) })),
    screen: 'earlier',
    en: ['You opened this box at 09:00 UTC', 'You do not need to do anything else.'],
    tr: ['Bu kutuyu açtığınız zaman: 09:00 UTC', 'Başka bir şey yapmanız gerekmiyor.'],
  },
  'expired': {
    set: () => page.refuse('link_expired', { expires_at: '2026-11-21T08:00:00.000Z' }),
    press: true,
    status: 422,
    screen: 'expired',
    en: ['This link has expired', 'It worked until 08:00 UTC. Ask the sender for a new link.'],
    tr: ['Bu bağlantının süresi doldu', 'Son geçerlilik: 08:00 UTC. Gönderenden yeni bir bağlantı isteyin.'],
  },
  'used up': {
    set: () => page.refuse('link_used', { used_at: '2026-11-21T09:58:00.000Z' }),
    press: true,
    status: 422,
    screen: 'used',
    en: ['This link has already been used', 'It was used at 09:58 UTC. If that was you and the door is still closed, choose “The door did not open”.'],
    tr: ['Bu bağlantı zaten kullanıldı', 'Kullanıldığı zaman: 09:58 UTC. Kullanan sizseniz ve kapak hâlâ kapalıysa “Kapak açılmadı” seçeneğini seçin.'],
  },
  'revoked': {
    set: () => page.refuse('link_revoked', { revoked_at: '2026-11-21T09:50:00.000Z' }),
    press: true,
    status: 422,
    screen: 'cancelled',
    en: ['This link was cancelled', 'The sender cancelled it at 09:50 UTC. Nothing was opened.'],
    tr: ['Bu bağlantı iptal edildi', 'Gönderenin iptal ettiği zaman: 09:50 UTC. Hiçbir şey açılmadı.'],
  },
  'revoked while it was asked': {
    set: () => (page.change({ status: 'revoked', isActive: false, endedAt: '2026-11-21T09:59:58.000Z' }), page.attempt({ state: 'cancelled', reason: 'link_revoked', useReturned: true })),
    screen: 'cancelled',
    en: ['This link was cancelled', 'The sender cancelled it at 09:59 UTC. Nothing was opened.'],
    tr: ['Bu bağlantı iptal edildi', 'Gönderenin iptal ettiği zaman: 09:59 UTC. Hiçbir şey açılmadı.'],
  },
  'not yet valid': {
    set: () => page.refuse('link_not_yet_valid', { starts_at: '2026-11-21T12:00:00.000Z' }),
    press: true,
    status: 422,
    screen: 'not-yet',
    en: ['This link starts at 12:00 UTC', 'Come back after 12:00 UTC, or ask the sender to change it.'],
    tr: ['Bu bağlantının başlangıcı: 12:00 UTC', 'Bu zamandan sonra (12:00 UTC) yeniden gelin veya gönderenden değiştirmesini isteyin.'],
  },
  'outside hours': {
    set: () => page.refuse('link_outside_hours', { from: '09:00', to: '17:00', time_zone: 'Europe/Istanbul' }),
    press: true,
    status: 422,
    screen: 'outside-hours',
    en: ['Deliveries are accepted 09:00–17:00', 'The box cannot be opened now.'],
    tr: ['Teslimat saatleri: 09:00–17:00', 'Kutu şu anda açılamaz.'],
  },
  'another courier': {
    set: () => page.refuse('device_busy'),
    press: true,
    status: 409,
    screen: 'busy',
    en: ['The box is being opened by someone else', 'Wait a moment. This page checks again in 5 seconds.'],
    tr: ['Kutuyu şu anda başka biri açıyor', 'Biraz bekleyin. Bu sayfa 5 saniye sonra yeniden kontrol eder.'],
  },
  'box offline': {
    set: () => page.refuse('device_offline'),
    press: true,
    status: 409,
    screen: 'offline',
    en: ['The box has no connection', 'It cannot be opened right now and will not open later by itself. Your link has not been used up.'],
    tr: ['Kutu çevrimdışı', 'Şu anda açılamaz, daha sonra da kendiliğinden açılmaz. Kullanım hakkınız duruyor.'],
  },
  'never sent': {
    set: () => page.attempt({ state: 'expired', useReturned: true, dispatchedAt: null, publishedAt: null }),
    screen: 'not-opened',
    en: ['The box did not open', notUsedUp],
    tr: ['Kutu açılmadı', hakkinizDuruyor],
  },
  'failed with proof': {
    set: () => page.attempt({ state: 'failed', reason: 'no_movement', useReturned: true }),
    screen: 'not-opened',
    en: ['The box did not open', notUsedUp],
    tr: ['Kutu açılmadı', hakkinizDuruyor],
  },
  'failed without proof: the use is gone, and nothing else is said': {
    set: () => (page.change(used), page.attempt({ state: 'failed', reason: 'no_movement', useReturned: false })),
    screen: 'not-opened',
    en: ['The box did not open', 'It did not open, and will not open later by itself. Ask the sender for a new link.'],
    tr: ['Kutu açılmadı', 'Açılmadı, daha sonra da kendiliğinden açılmaz. Gönderenden yeni bir bağlantı isteyin.'],
  },
  'no answer in time': {
    set: () => (page.change(used), page.attempt({ state: 'unknown', reason: 'no_answer' })),
    screen: 'unsure',
    en: ['We are not sure whether the box opened', 'Look at the door. If it is open, put the parcel in and close it.'],
    tr: ['Kutunun açılıp açılmadığından emin değiliz', 'Kapağa bakın. Açıksa paketi koyun ve kapağı kapatın.'],
  },
  'jammed': {
    set: () => page.attempt({ state: 'failed', reason: 'jammed', useReturned: true }),
    screen: 'jammed',
    en: ['The door is stuck', 'Press the door in gently, then try again. Do not use force. Your link has not been used up.'],
    tr: ['Kapak sıkıştı', 'Kapağı hafifçe içeri bastırın, sonra yeniden deneyin. Zorlamayın. Kullanım hakkınız duruyor.'],
  },
  'battery too low': {
    set: () => page.attempt({ state: 'failed', reason: 'low_battery', useReturned: true }),
    screen: 'battery',
    en: ['The box battery is empty', 'It cannot be opened. Your link has not been used up.'],
    tr: ['Kutunun pili bitti', 'Kutu açılamaz. Kullanım hakkınız duruyor.'],
  },
  'a parcel is inside': {
    set: () => page.change({}, { parcelPresent: true }),
    press: true,
    status: 409,
    screen: 'parcel-inside',
    en: ['The box already holds a parcel', 'If there is room, you can still open it.'],
    tr: ['Kutuda zaten bir paket var', 'Yer varsa yine de açabilirsiniz.'],
  },
  'maintenance': {
    set: () => page.refuse('device_in_maintenance'),
    press: true,
    status: 422,
    screen: 'maintenance',
    en: ['This box is out of service', 'It cannot take deliveries now.'],
    tr: ['Bu kutu hizmet dışı', 'Şu anda teslimat alamaz.'],
  },
  'owner suspended': {
    set: () => page.refuse('owner_suspended'),
    press: true,
    status: 422,
    screen: 'gone',
    en: ['This box no longer accepts deliveries', 'Ask the sender for another place.'],
    tr: ['Bu kutu artık teslimat kabul etmiyor', 'Gönderenden başka bir yer isteyin.'],
  },
  'old firmware': {
    set: () => page.refuse('level0_no_deliveries'),
    press: true,
    status: 422,
    screen: 'gone',
    en: ['This box no longer accepts deliveries', 'Ask the sender for another place.'],
    tr: ['Bu kutu artık teslimat kabul etmiyor', 'Gönderenden başka bir yer isteyin.'],
  },
  'name and company missing': {
    set: () => (page.change({ requireIdentity: true }), page.refuse('identity_required')),
    press: true,
    status: 400,
    screen: 'identity',
    en: ['Two details are missing', 'Enter your name and company so the owner knows who delivered.'],
    tr: ['İki bilgi eksik', 'Kutu sahibi kimin teslim ettiğini bilsin diye adınızı ve şirketinizi yazın.'],
  },
};

describe.each(Object.entries(cases))('%s', (_, { set, press, status = 200, screen, en, tr }) => {
  test.each([
    ['en', en],
    ['tr-TR,tr;q=0.9,en;q=0.8', tr],
  ])('%s', async (language, [heading, text]) => {
    set();
    const shown = press === true ? await post({}, language) : await page.get(`?try=${KEY}`, { 'accept-language': language });
    expect({ status: shown.status, screen: shown.screen, heading: shown.heading, text: shown.text }).toEqual({ status, screen, heading, text });
    expect(shown.headers.get('content-language')).toBe(language.slice(0, 2));
    expect(shown.html).toContain(`<html lang="${language.slice(0, 2)}"`);
  });
});

describe('a link that does not open', () => {
  test('is explained to whoever looks, without box and place', async () => {
    page.change({ status: 'expired', isActive: false, expiresAt: '2026-11-20T08:00:00.000Z', endedAt: '2026-11-20T08:00:00.000Z' });
    const shown = await page.get();
    expect(shown).toMatchObject({ status: 200, screen: 'expired', text: 'It worked until Fri 20 Nov, 08:00 UTC. Ask the sender for a new link.' });
    expect(shown.html).not.toMatch(/Mill Lane|<form/);
  });
  test('because there is none of it', async () => {
    const [known, unknown] = [await page.get(), await page.get('x')];
    expect(known.status).toBe(200);
    expect(unknown).toMatchObject({ status: 404, screen: 'unknown-link', heading: 'This link is not valid', text: 'Check that the whole link was copied. If it is still not valid, ask the sender for a new one.' });
  });
  test('hours are said in the zone of the box, with their days', async () => {
    page.change({ window: { timeZone: 'Europe/Istanbul', days: [1, 2, 3, 4, 5], from: '09:00', to: '17:00' } });
    expect(await page.get()).toMatchObject({ screen: 'outside-hours', heading: 'Deliveries are accepted 09:00–17:00', text: 'The box cannot be opened now. On Mon, Tue, Wed, Thu, Fri.' });
    page.change({ status: 'expired', isActive: false, expiresAt: '2026-11-21T08:00:00.000Z' });
    expect((await page.get()).text).toContain('It worked until 11:00 GMT+3.');
  });
});

describe('looking', () => {
  test('takes nothing, whoever looks: people, HEAD, bots that make previews', async () => {
    for (const agent of ['WhatsApp/2.23', 'facebookexternalhit/1.1', 'Slackbot-LinkExpanding 1.0', 'Twitterbot/1.0', 'TelegramBot (like TwitterBot)']) {
      const shown = await page.get('', { 'user-agent': agent });
      expect(shown.html).toContain('<title>Delivery box</title>');
      expect(shown.html.replace(/<main[\s\S]*<\/main>/, '')).not.toContain('Mill Lane');
    }
    const head = await fetch(`${page.url}/unlock/${TOKEN}`, { method: 'HEAD' });
    expect([head.status, await head.text()]).toEqual([200, '']);
    for (const query of [`?try=${KEY}`, `?try=${KEY}&sent=1`, '?lang=tr']) await page.get(query);
    expect(page.world.asked).toEqual([]);
    expect(page.world.commands).toEqual([]);
  });
  test('is not kept, indexed, framed, or told to others', async () => {
    const { headers, html } = await page.get();
    expect(Object.fromEntries(headers)).toMatchObject({
      'cache-control': 'no-store',
      'referrer-policy': 'no-referrer',
      'x-robots-tag': 'noindex, nofollow, noarchive',
      'x-content-type-options': 'nosniff',
      'x-frame-options': 'DENY',
      'content-type': 'text/html; charset=utf-8',
    });
    const csp = headers.get('content-security-policy') ?? '';
    expect(csp).toMatch(/^default-src 'none'; style-src 'sha256-[^']+'; script-src 'sha256-[^']+'; img-src data:; connect-src 'self'; form-action 'self'; base-uri 'none'; frame-ancestors 'none'$/);
    expect(html).toContain('<meta name="robots" content="noindex,nofollow,noarchive">');
    // Nothing of anybody else, nothing that is fetched.
    expect(html.replaceAll("http://www.w3.org/2000/svg", '')).not.toMatch(/https?:\/\/|<link rel="stylesheet"|<script src|<img|style="|onclick/);
  });
  test('refusals are as private', async () => {
    page.refuse('device_offline');
    expect(Object.fromEntries((await post()).headers)).toMatchObject({ 'cache-control': 'no-store', 'referrer-policy': 'no-referrer', 'x-robots-tag': 'noindex, nofollow, noarchive' });
  });
  test('other methods are not possible', async () => {
    const response = await fetch(`${page.url}/unlock/${TOKEN}`, { method: 'PUT' });
    expect([response.status, response.headers.get('allow')]).toEqual([405, 'GET, POST, HEAD, OPTIONS']);
  });
  test('the address without a token says what to do', async () => {
    const response = await fetch(`${page.url}/unlock/`);
    expect([response.status, read(await response.text()).heading]).toEqual([200, 'Open your link once more']);
  });
});

describe('languages', () => {
  test.each([
    [undefined, 'en'],
    ['de-DE,de;q=0.9', 'en'],
    ['de, tr;q=0.5, en;q=0.4', 'tr'],
    ['en;q=0.4, tr;q=0.5', 'tr'],
    ['tr;q=0', 'en'],
  ])('%s: %s', async (accept, language) => {
    expect((await page.get('', accept === undefined ? {} : { 'accept-language': accept })).headers.get('content-language')).toBe(language);
  });
  test('a switch in the page goes before, and is kept by the form', async () => {
    const shown = await page.get('?lang=tr', { 'accept-language': 'en' });
    expect(shown.headers.get('content-language')).toBe('tr');
    expect(shown.html).toContain(`action="/unlock/${TOKEN}?lang=tr"`);
    expect(shown.html).toContain(`<a href="/unlock/${TOKEN}?lang=en" lang="en" hreflang="en">English</a>`);
    const pressed = await page.post({ key: KEY }, { 'accept-language': 'en' }, '?lang=tr');
    expect(pressed.headers.get('location')).toBe(`/unlock/${TOKEN}?lang=tr&try=${KEY}&sent=1`);
  });
});

describe('pressing', () => {
  test('opens by a form without a script, with what was written, and goes on at an address to come back to', async () => {
    page.world.unlock = { kind: 'progress', unlock: progress({ state: 'opened' }), repeated: false };
    const pressed = await post({ name: ' Jo ', company: 'Swift Parcels', number: 'C-117', phone: '', note: 'behind the bin' });
    expect([pressed.status, pressed.headers.get('location')]).toEqual([303, `/unlock/${TOKEN}?lang=en&try=${KEY}&sent=1`]);
    expect(page.world.asked).toMatchObject([
      { ask: { deviceId: page.device.deviceId, cause: { kind: 'link', id: page.link.linkId }, courier: { name: 'Jo', company: 'Swift Parcels', personId: 'C-117', notes: 'behind the bin' } }, until: 'outcome' },
    ]);
  });
  test('twice is the same command', async () => {
    await Promise.all([post({ name: 'Jo' }), post({ name: 'Jo' })]);
    const [first, second] = page.world.asked;
    expect(page.world.asked).toHaveLength(2);
    expect(second?.context.commandId).toBe(first?.context.commandId);
  });
  test('is the very command of the JSON route with the same key', async () => {
    await post({ name: 'Jo' });
    await fetch(`${page.url}/api/v1/delivery/link/${TOKEN}/unlock`, { method: 'POST', headers: { 'idempotency-key': KEY, 'content-type': 'application/json' }, body: JSON.stringify({ delivery_person_name: 'Jo' }) });
    expect(new Set(page.world.asked.map(({ context }) => context.commandId)).size).toBe(1);
  });
  test('from the script answers with the outcome, and only that part of the page', async () => {
    page.attempt({ ...sent, state: 'opened', openedAt: at(0) });
    const pressed = await page.post({ key: KEY }, { 'loqey-part': 'main' });
    expect(pressed).toMatchObject({ status: 200, screen: 'open', heading: 'The box is open.' });
    expect(pressed.html).toMatch(/^<main[\s\S]*<\/main>$/);
  });
  test('a refusal keeps what was written, and gives the next attempt its own key', async () => {
    page.refuse('device_offline');
    const refused = await post({ name: 'Jo "O\'Neil" <b>', company: 'Swift & Co' });
    expect(refused.html).toContain('value="Jo &quot;O&#39;Neil&quot; &lt;b&gt;"');
    expect(refused.html).toContain('value="Swift &amp; Co"');
    expect(keyIn(refused.html)).not.toBe(KEY);
  });
  test('our own fault keeps the key: pressing again is the same attempt', async () => {
    page.world.throws = new AppendOutcomeUnknown('device-x', 'the connection was lost');
    const failed = await post({ name: 'Jo' });
    expect(failed).toMatchObject({ status: 503, screen: 'fault', heading: 'Something went wrong on our side' });
    expect(failed.text).toMatch(/^Try again in a minute: pressing again will not open the box twice\. Reference [2-9A-HJ-NP-Z]{6}\.$/);
    expect(keyIn(failed.html)).toBe(KEY);
    expect(failed.html).toContain('value="Jo"');
  });
  test.each([
    ['open', { state: 'dispatched' }, undefined],
    ['unknown', { state: 'unknown' }, undefined],
    ['opened', { state: 'opened', openedAt: at(1) }, undefined],
    ['proven unopened', { state: 'failed', useReturned: true }, 'another'],
  ] as const)('the outcome of an attempt is %s: its key is kept unless nothing happened', async (_, over, form) => {
    page.attempt({ ...sent, ...over });
    const { html } = await page.get(`?try=${KEY}`);
    expect(html).toContain(`data-attempt="${KEY}"`);
    expect(keyIn(html) === undefined ? undefined : keyIn(html) === KEY ? 'the same' : 'another').toBe(form);
  });
  test('a key that nothing came of stays the key', async () => {
    expect(keyIn((await page.get(`?try=${KEY}`)).html)).toBe(KEY);
  });
  test('an attempt of another link is none of this one', async () => {
    page.attempt({ ...sent, state: 'opened', openedAt: at(1), cause: { kind: 'link', id: page.device.deviceId } });
    expect(await page.get(`?try=${KEY}`)).toMatchObject({ screen: 'ready' });
  });
  test('while somebody else opens the box, whoever waits is told so', async () => {
    page.world.inFlight = { unlockId: KEY, expiresAt: at(-20) };
    expect(await page.get(`?try=${KEY}`)).toMatchObject({ status: 200, screen: 'busy' });
  });
  test('with one of two details', async () => {
    page.change({ requireIdentity: true });
    page.refuse('identity_required');
    const refused = await post({ name: 'Jo' });
    expect(refused.heading).toBe('One detail is missing');
    expect(refused.html).toMatch(/<input id="company"[^>]* required aria-invalid="true" aria-describedby="company-wrong" autofocus>/);
    expect(refused.html).not.toMatch(/<input id="name"[^>]*aria-invalid/);
  });
  test('while a parcel is inside needs a second word, once', async () => {
    page.change({}, { parcelPresent: true });
    const asked = await post({ name: 'Jo' });
    expect(asked.html).toMatch(/name="confirmed" value="yes"[\s\S]*Open anyway<\/button>[\s\S]*Do not open<\/a>/);
    expect(page.world.asked).toEqual([]);
    page.refuse('device_offline');
    const refused = await post({ name: 'Jo', confirmed: 'yes' });
    expect(refused.html).toContain('name="confirmed" value="yes"');
    expect(page.world.asked).toHaveLength(1);
  });
  test('again, with the parcel that this attempt brought inside', async () => {
    page.world.unlock = undefined;
    page.change(used, { parcelPresent: true });
    page.attempt({ ...sent, state: 'opened', openedAt: at(1) });
    expect(await post()).toMatchObject({ status: 303 });
  });
  test('with what cannot be stored', async () => {
    expect(await post({ phone: '1'.repeat(40) })).toMatchObject({ status: 400, screen: 'invalid', text: 'Something you entered cannot be used here. Check it and try again.' });
    expect(page.world.asked).toEqual([]);
  });
  test('with the key of an attempt that had other details', async () => {
    await post({ name: 'Jo' });
    page.attempt({ ...sent, state: 'opened', openedAt: at(1) });
    expect(await post({ name: 'Ann' })).toMatchObject({ status: 303 });
    expect(page.world.asked).toHaveLength(1);
  });
  test('with more than a form may hold', async () => {
    expect(await post({ note: 'x'.repeat(40_000) })).toMatchObject({ status: 400, screen: 'fault' });
    expect(page.world.asked).toEqual([]);
  });
});

const keyIn = (html: string): string | undefined => /name="key" value="([^"]+)"/.exec(html)?.[1];

describe('after it', () => {
  test('a page without a script looks again while facts are open, and only then', async () => {
    const refresh = async () => /<noscript><meta http-equiv="refresh" content="(\d+)"><\/noscript>/.exec((await page.get(`?try=${KEY}`)).html)?.[1];
    expect(await refresh()).toBeUndefined();
    page.attempt({ ...sent, state: 'dispatched' });
    expect(await refresh()).toBe('2');
    page.attempt({ ...sent, state: 'opened', openedAt: at(1) });
    expect(await refresh()).toBe('5');
    page.says('door_opened', at(1));
    page.says('door_closed', at(0));
    expect(await refresh()).toBeUndefined();
  });
  test('after the plain form also where a browser can do nothing with the script', async () => {
    page.attempt({ ...sent, state: 'dispatched' });
    const { html } = await page.get(`?lang=tr&try=${KEY}&sent=1`);
    expect(html).toContain(`<meta http-equiv="refresh" content="2;url=/unlock/${TOKEN}?lang=tr&amp;try=${KEY}&amp;sent=1">`);
    expect(html).not.toContain('<noscript>');
  });
  test('each step is a fact: what the box did not say is not done', async () => {
    const steps = async () => [...(await page.get(`?try=${KEY}`)).html.matchAll(/<li class="(\w+)"/g)].map(([, state]) => state);
    page.attempt({ ...sent, state: 'published' });
    expect(await steps()).toEqual(['done', 'now', 'next', 'next']);
    page.attempt({ ...sent, state: 'acknowledged', acknowledgedAt: at(1) });
    expect(await steps()).toEqual(['done', 'done', 'now', 'next']);
    page.attempt({ ...sent, state: 'opened', openedAt: at(1) });
    expect(await steps()).toEqual(['done', 'done', 'done', 'now']);
    page.says('lock', at(0));
    expect(await steps()).toEqual(['done', 'done', 'done', 'done']);
    page.attempt({ ...sent, state: 'unknown' });
    expect(await steps()).toEqual(['done', 'unsure', 'unsure', 'next']);
    page.attempt({ ...sent, state: 'failed', reason: 'jammed', acknowledgedAt: at(1) });
    expect(await steps()).toEqual(['done', 'done', 'failed', 'next']);
  });
  test('a door that was opened for somebody else is not told of', async () => {
    page.attempt({ ...sent, state: 'opened', openedAt: at(2) });
    page.says('unlock', at(1));
    page.says('door_opened', at(1));
    page.says('door_closed', at(0));
    expect(await page.get(`?try=${KEY}`)).toMatchObject({ screen: 'open' });
  });
  test('the receipt says what is known of the door', async () => {
    page.attempt({ ...sent, requestedAt: at(605), state: 'opened', openedAt: at(601) });
    page.says('door_opened', at(600));
    expect((await page.get(`?try=${KEY}`)).html).toMatch(/Show receipt[\s\S]*not reported closed[\s\S]*<dd class="code">[2-9A-HJ-NP-Z]{6}<\/dd>/);
    page.says('door_closed', at(300));
    expect((await page.get(`?try=${KEY}`)).html).not.toContain('not reported closed');
  });
  test('a link that opens more offers the next delivery', async () => {
    page.change({ maxUses: 3, currentUses: 1 });
    page.attempt({ ...sent, requestedAt: at(20), state: 'opened', openedAt: at(15) });
    page.says('door_closed', at(5));
    expect((await page.get(`?try=${KEY}`)).html).toContain('Deliver another parcel');
  });
  test('read models that are a moment late are waited for', async () => {
    const shown = page.get(`?try=${KEY}&sent=1`);
    const row = { ...sent, state: 'acknowledged' as const, acknowledgedAt: at(1) };
    await expect.poll(() => page.world.listening(`unlock:${page.attempt(row).unlockId}`) + [...page.world.unlocks].length).toBeGreaterThan(0);
    expect((await shown).screen).toBe('opening');
  });
});

describe('limits', () => {
  let strict: PageServer;
  beforeAll(async () => {
    strict = await startPage({ rateLimits: { ...defaultRateLimits, enabled: true, anonymous: { perMinute: 3, perDay: 1_000 } } });
  });
  afterAll(() => strict.stop());
  test('are those of the public routes, and a page counts once', async () => {
    const first = await strict.get();
    expect(first.headers.get('x-ratelimit-remaining')).toBe('2');
    await strict.post({ key: KEY });
    await strict.get();
    const refused = await strict.get();
    expect(refused).toMatchObject({ status: 429, screen: 'too-many', heading: 'Too many attempts' });
    expect(refused.text).toMatch(/^Wait \d+ seconds, then try again\.$/);
    expect(Number(refused.headers.get('retry-after'))).toBeGreaterThan(0);
    expect(await strict.post({ key: KEY, name: 'Jo' })).toMatchObject({ status: 429, screen: 'too-many' });
    expect(strict.world.asked).toHaveLength(1);
  });
});

test('openings with one link have their own limit, said as the others; the form is still there', async () => {
  const strict = await startPage({ rateLimits: { ...defaultRateLimits, enabled: true, unlock: { perMinute: 1 } } });
  await strict.post({ key: KEY });
  const refused = await strict.post({ key: KEY, name: 'Jo' });
  expect(refused).toMatchObject({ status: 429, screen: 'too-many' });
  expect(Number(refused.headers.get('retry-after'))).toBeGreaterThan(0);
  expect([keyIn(refused.html), refused.html.includes('value="Jo"')]).toEqual([KEY, true]);
  expect((await strict.get()).screen).toBe('ready');
  await strict.stop();
});

describe('size', () => {
  /** As it is on the wire, headers aside. */
  const bytes = (encoding: string, path: string): Promise<Buffer> =>
    new Promise((resolve, reject) => {
      request(page.url + path, { headers: { 'accept-encoding': encoding } }, (response) => {
        const chunks: Buffer[] = [];
        response.on('data', (chunk: Buffer) => chunks.push(chunk)).on('end', () => resolve(Buffer.concat(chunks)));
      }).on('error', reject).end();
    });
  test.each(['/', `/${TOKEN}`, `/${TOKEN}?lang=tr`, `/${TOKEN}?try=${KEY}`])('%s: everything in one answer, 14 kB compressed and 30 kB without', async (path) => {
    page.attempt({ ...sent, state: 'failed', reason: 'jammed', useReturned: true });
    const [plain, gzip, brotli] = await Promise.all([bytes('identity', `/unlock${path}`), bytes('gzip', `/unlock${path}`), bytes('br, gzip', `/unlock${path}`)]);
    expect(gunzipSync(gzip).toString().replaceAll(/value="[\w-]{22}"/g, '')).toBe(plain.toString().replaceAll(/value="[\w-]{22}"/g, ''));
    expect(brotliDecompressSync(brotli).length).toBe(plain.length);
    expect(plain.length).toBeLessThan(30_000);
    expect(gzip.length).toBeLessThan(14_000);
    expect(brotli.length).toBeLessThan(gzip.length);
  });
});
