import type { Browser, Page } from 'playwright-core';
import { afterAll, beforeAll, beforeEach, expect, test } from 'vitest';
import { describeWithServer } from '../support/optional-server.ts';
import { chromiumMissing, launchChromium } from '../support/servers-chromium.ts';
import { accessibilityFaults, layoutFaults, newVisitor, shows, type Visitor } from './browser.ts';
import { ago, KEY, startPage, TOKEN, type PageServer } from './support.ts';

/** Every screen in a real browser, from a server that says what a test wants it to say. */
describeWithServer('chromium', chromiumMissing(), "the courier's screens", () => {
  let browser: Browser;
  let server: PageServer;
  let visitor: Visitor;
  let page: Page;

  beforeAll(async () => {
    browser = await launchChromium();
  });
  afterAll(() => browser?.close());
  beforeEach(async () => {
    server = await startPage();
    server.world.now = Date.now();
    server.change({ expiresAt: at(-80_000) });
    return () => server.stop();
  });

  const at = (seconds: number) => ago(seconds, server.world.now);
  const used = () => server.change({ status: 'used', isActive: false, currentUses: 1, usedAt: at(100) });
  const attempt = (over: Parameters<PageServer['attempt']>[0]) => server.attempt({ requestedAt: at(3), dispatchedAt: at(3), publishedAt: at(3), expiresAt: at(-27), ...over });
  const closed = () => (server.says('door_opened', at(30)), server.says('door_closed', at(10)));

  /** What to look at, as it comes about. */
  const screens: Readonly<Record<string, { readonly set?: () => void; readonly press?: boolean; readonly token?: string }>> = {
    ready: {},
    asking: { set: () => (used(), attempt({ state: 'dispatched' })) },
    opening: { set: () => (used(), attempt({ state: 'acknowledged', acknowledgedAt: at(2) })) },
    open: { set: () => (used(), attempt({ state: 'opened', openedAt: at(2) })) },
    'door-open': { set: () => (used(), attempt({ state: 'opened', requestedAt: at(82), openedAt: at(80) }), server.says('door_opened', at(79))) },
    delivered: { set: () => (server.change({ maxUses: 3, currentUses: 1 }), attempt({ state: 'opened', requestedAt: at(42), openedAt: at(40) }), closed()) },
    earlier: { set: () => (used(), attempt({ state: 'opened', requestedAt: at(4_000), openedAt: at(3_990) })) },
    unsure: { set: () => (server.change({ maxUses: 3, currentUses: 1 }), attempt({ state: 'unknown' })) },
    'not-opened': { set: () => attempt({ state: 'failed', reason: 'no_movement', useReturned: true }) },
    jammed: { set: () => attempt({ state: 'failed', reason: 'jammed', useReturned: true }) },
    battery: { set: () => attempt({ state: 'failed', reason: 'low_battery', useReturned: true }) },
    used: { set: used },
    expired: { set: () => server.change({ status: 'expired', isActive: false, expiresAt: at(60) }) },
    cancelled: { set: () => server.change({ status: 'revoked', isActive: false, endedAt: at(60) }) },
    'not-yet': { set: () => server.change({ startsAt: at(-600) }) },
    maintenance: { set: () => server.change({}, { lifecycle: 'maintenance' }) },
    gone: { set: () => server.change({}, { ownerSuspended: true }) },
    'unknown-link': { token: 'x'.repeat(32) },
    busy: { press: true, set: () => server.refuse('device_busy') },
    offline: { press: true, set: () => server.refuse('device_offline') },
    'parcel-inside': { press: true, set: () => server.change({}, { parcelPresent: true }) },
    identity: { press: true, set: () => server.refuse('identity_required') },
    fault: { press: true, set: () => (server.world.throws = new Error('something broke')) },
  };

  async function open(options: Parameters<typeof newVisitor>[2], screen: string): Promise<void> {
    visitor = await newVisitor(browser, server.url, options);
    page = visitor.page;
    const { set, press, token = TOKEN } = screens[screen] ?? {};
    set?.();
    await page.goto(`${server.url}/unlock/${token}${[...server.world.unlocks].length > 0 ? `?try=${KEY}` : ''}`);
    if (press === true) await page.click('form button');
    await shows(page, screen);
  }

  test.each(Object.keys(screens))('%s: accessible in light and dark, on a narrow phone, at twice the size of text', { timeout: 60_000 }, async (screen) => {
    await open({ viewport: { width: 320, height: 568 }, reducedMotion: 'reduce' }, screen);
    try {
      // What is folded away is part of the page.
      await page.evaluate(`document.querySelectorAll('details').forEach((each) => (each.open = true))`);
      for (const colorScheme of ['light', 'dark'] as const) {
        await page.emulateMedia({ colorScheme });
        expect(await accessibilityFaults(page), colorScheme).toEqual([]);
      }
      expect(await layoutFaults(page)).toEqual([]);
      expect(await page.evaluate('document.getAnimations().length')).toBe(0);
      // Through the style sheet of the reader, so to speak: the page's own policy allows no style from elsewhere.
      await page.evaluate(`document.documentElement.style.fontSize = '34px'`);
      expect((await layoutFaults(page)).filter((fault) => fault.includes('wide'))).toEqual([]);
      expect(visitor.faults).toEqual([]);
    } finally {
      await visitor.close();
    }
  });

  test('a language is chosen by the browser, and another one by a link', async () => {
    await open({ locale: 'tr-TR' }, 'ready');
    expect(await page.textContent('form button')).toBe('Kutuyu aç');
    await page.click('nav a');
    await shows(page, 'ready');
    expect(await page.textContent('form button')).toBe('Open the box');
    await page.reload();
    await shows(page, 'ready');
    expect(await page.textContent('form button')).toBe('Open the box');
    expect(visitor.faults).toEqual([]);
    await visitor.close();
  });

  test('times are those of the phone, where nobody told those of the box', async () => {
    await open({ timezoneId: 'Asia/Tokyo' }, 'used');
    const shown = new Intl.DateTimeFormat('en-GB', { hour: '2-digit', minute: '2-digit', timeZone: 'Asia/Tokyo' }).format(Date.parse(at(100)));
    expect(await page.textContent('time')).toContain(shown);
    expect(await page.textContent('time')).not.toContain('UTC');
    await visitor.close();
  });

  test('the hours of a box stay those of the box, and say so', async () => {
    server.change({ window: { timeZone: 'America/New_York', days: [1, 2, 3, 4, 5, 6, 7], from: '00:00', to: '23:59' } });
    await open({}, 'ready');
    expect(await page.textContent('time')).toMatch(/GMT-[45]|E[SD]T/);
    await visitor.close();
  });

  test('the token is not left in the address; a reload finds the page again', async () => {
    await open({}, 'ready');
    expect(new URL(page.url()).pathname).toBe('/unlock/');
    await page.reload();
    await shows(page, 'ready', 'Mill Lane 12');
    expect(visitor.faults).toEqual([]);
    await visitor.close();
  });

  test('a courier is remembered only when asked to, and the note never', async () => {
    await open({}, 'ready');
    await page.fill('#name', 'Jo');
    await page.fill('#company', 'Swift Parcels');
    const stored = () => page.evaluate<string | null>(`localStorage.getItem('courier')`);
    expect(await stored()).toBeNull();
    await page.click('summary:has-text("note")');
    await page.fill('#note', 'behind the bin');
    await page.check('#remember');
    expect(JSON.parse((await stored()) ?? '')).toMatchObject({ name: 'Jo', company: 'Swift Parcels', note: '' });
    await page.uncheck('#remember');
    expect(await stored()).toBeNull();
    await visitor.close();
  });

  test('what is written stays through a refusal, and the next attempt has its own key', async () => {
    server.refuse('device_offline');
    await open({}, 'ready');
    await page.fill('#name', 'Jo');
    const key = () => page.inputValue('input[name=key]');
    const first = await key();
    await page.click('form button');
    await shows(page, 'offline');
    expect(await page.inputValue('#name')).toBe('Jo');
    expect(await key()).not.toBe(first);
    await visitor.close();
  });

  test('what is needed is asked for before anything is sent', async () => {
    server.change({ requireIdentity: true });
    await open({}, 'ready');
    await page.click('form button');
    expect(await page.evaluate('document.activeElement.id')).toBe('name');
    expect(server.world.asked).toEqual([]);
    await visitor.close();
  });

  test('a busy box: the seconds are counted, and the page looks again without opening', async () => {
    server.refuse('device_busy');
    visitor = await newVisitor(browser, server.url);
    page = visitor.page;
    await page.clock.install();
    await page.goto(`${server.url}/unlock/${TOKEN}`);
    await page.click('form button');
    await shows(page, 'busy');
    await page.clock.runFor(2_100);
    expect(await page.textContent('.counts')).toBe('This page checks again in 3 seconds.');
    await page.clock.runFor(4_000);
    await shows(page, 'ready');
    expect(server.world.asked).toHaveLength(1);
    await visitor.close();
  });

  test('a screen is told to whoever does not see it, and the way by keys goes on from its heading', async () => {
    server.refuse('device_offline');
    await open({}, 'ready');
    await page.focus('form button');
    await page.keyboard.press('Enter');
    await shows(page, 'offline');
    expect(await page.textContent('#said')).toBe('The box has no connection It cannot be opened right now and will not open later by itself. Your link has not been used up.');
    expect(await page.evaluate('document.activeElement.tagName')).toBe('H1');
    await page.keyboard.press('Tab');
    expect(await page.evaluate('document.activeElement.textContent')).toBe('Try again');
    await visitor.close();
  });

  test('a page that was changed since it was opened says so', async () => {
    await open({}, 'ready');
    await page.evaluate(`document.documentElement.dataset.version = 'older'`);
    server.refuse('device_offline');
    await page.click('form button');
    await shows(page, 'offline');
    expect((await page.textContent('.old'))?.trim()).toMatch(/^Please reload this page It was updated since you opened it\./);
    server.world.unlock = undefined;
    await page.click('[data-reload]');
    await shows(page, 'ready');
    expect(await page.locator('.old').count()).toBe(0);
    await visitor.close();
  });
});
