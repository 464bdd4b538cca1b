import type { Browser, Page, Route } from 'playwright-core';
import { afterAll, afterEach, beforeAll, beforeEach, expect, test } from 'vitest';
import { createLockbox, type Lockbox } from '../../src/simulator/lockbox.ts';
import { startApp, type RunningApp } from '../support/app.ts';
import { describeWithServer } from '../support/optional-server.ts';
import { claim, newOwner, registerBox, signInAdmin, type Person } from '../support/people.ts';
import { chromiumMissing, launchChromium } from '../support/servers-chromium.ts';
import { newVisitor, shows, type Visitor } from './browser.ts';

interface MadeLink {
  readonly id: string;
  readonly link_id: string;
  readonly access_url: string;
}
interface Delivery {
  readonly delivery_person_name: string;
  readonly courier_company: string;
  readonly unlocked_at: string | null;
}

/** Deliveries with a browser at one end and a box at the other. What happened is told by the bolt itself. */
describeWithServer('chromium', chromiumMissing(), "a courier's deliveries", () => {
  let app: RunningApp;
  let browser: Browser;
  let admin: Person;
  let owner: Person;
  let box: Lockbox;
  const visitors: Visitor[] = [];
  const opened: (string | undefined)[] = [];

  beforeAll(async () => {
    [app, browser] = await Promise.all([startApp(), launchChromium()]);
    admin = await signInAdmin(app.url, app.admin);
    owner = await newOwner(app.url);
  });
  afterAll(async () => {
    await browser?.close();
    await app?.stop();
  });
  beforeEach(async () => {
    const registered = await registerBox(admin);
    await claim(owner, registered);
    box = createLockbox({ provisioning: registered.provisioning, firstConnectWithinMs: 20, boltMs: [300, 400] });
    opened.length = 0;
    box.on((event) => event.type === 'opened' && opened.push(event.commandId));
    await box.start();
    await box.ready();
  });
  afterEach(async () => {
    await box.stop();
    for (const visitor of visitors.splice(0)) {
      await visitor.close();
      expect(visitor.faults).toEqual([]);
    }
  });

  /** Commands that the box carried out. Its bolt may have been open already. */
  const openings = () => new Set(opened).size;
  const deliveries = () => owner.api.get<Delivery[]>('/deliveries/my-deliveries');
  const link = (more: object = {}) => owner.api.post<MadeLink>('/access/create-link', { device_id: box.deviceId, max_uses: 1, ...more });
  async function arrive(at: string, options: Parameters<typeof newVisitor>[2] = {}): Promise<Page> {
    const visitor = await newVisitor(browser, app.url, options);
    visitors.push(visitor);
    await visitor.page.goto(at);
    return visitor.page;
  }
  const press = (page: Page) => page.click('form button');
  const unlocks = (page: Page, handle: (route: Route) => Promise<void>) => page.route(/\/unlock\//, (route) => (route.request().method() === 'POST' ? handle(route) : route.continue()));

  test('from the link as its owner got it to the closed door', async () => {
    const { access_url } = await link();
    const page = await arrive(access_url);
    await shows(page, 'ready');
    await page.fill('#name', 'Jo Courier');
    await page.fill('#company', 'Swift Parcels');
    await press(page);
    await shows(page, 'open', 'The box is open.');
    box.hands.setDoor(true);
    box.hands.setDoor(false);
    await shows(page, 'delivered', 'Delivered. Thank you.');
    expect(await page.locator('.steps .done').count()).toBe(4);
    expect(await page.textContent('.receipt .code')).toMatch(/^[2-9A-HJ-NP-Z]{6}$/);
    expect(openings()).toBe(1);
    const [delivery] = await deliveries();
    expect(delivery).toMatchObject({ delivery_person_name: 'Jo Courier', courier_company: 'Swift Parcels' });
  });

  test('each step is shown when it is a fact, and not before', async () => {
    const page = await arrive((await link()).access_url);
    await shows(page, 'ready');
    await page.evaluate(`new MutationObserver(() => (window.seen ??= []).push(document.getElementById('main').dataset.screen)).observe(document.body, { childList: true })`);
    await press(page);
    await shows(page, 'open');
    const seen = await page.evaluate<string[]>('window.seen');
    expect(seen.filter((screen, index) => screen !== seen[index - 1])).toEqual(['asking', 'opening', 'open']);
    expect(box.status).toBe('unlocked');
  });

  test('pressed twice, and reloaded, and opened from the message once more: one opening', async () => {
    const { access_url } = await link({ max_uses: 3 });
    const page = await arrive(access_url);
    await page.dblclick('form button');
    await page.reload();
    await shows(page, 'open');
    await page.goto(access_url);
    await shows(page, 'open');
    expect(openings()).toBe(1);
    box.hands.setDoor(true);
    box.hands.setDoor(false);
    await shows(page, 'delivered');
    await page.click('text=Deliver another parcel');
    await shows(page, 'ready');
    await press(page);
    await shows(page, 'open');
    expect(openings()).toBe(2);
  });

  test('without a script', async () => {
    const page = await arrive((await link()).access_url, { javaScriptEnabled: false });
    await page.fill('#name', 'Jo');
    await press(page);
    await shows(page, 'open', 'The box is open.');
    expect(page.url()).toMatch(/[?&]try=[\w-]{22}/);
    box.hands.setDoor(true);
    box.hands.setDoor(false);
    await shows(page, 'delivered'); // it looks again by itself
    await page.goBack();
    await shows(page, 'used', 'This link has already been used');
    expect(openings()).toBe(1);
    expect((await deliveries())[0]).toMatchObject({ delivery_person_name: 'Jo' });
  });

  test('with a script that breaks', async () => {
    const page = await arrive('about:blank');
    await page.addInitScript('delete AbortSignal.timeout');
    await page.goto((await link()).access_url);
    await press(page);
    await shows(page, 'open');
    box.hands.setDoor(true);
    box.hands.setDoor(false);
    await shows(page, 'delivered');
    expect(openings()).toBe(1);
  });

  test('pressed before the script has come', async () => {
    const page = await arrive('about:blank');
    const { access_url } = await link();
    await page.goto(access_url);
    await page.evaluate(`HTMLFormElement.prototype.submit.call(document.querySelector('form'))`);
    await shows(page, 'open');
    expect(new URL(page.url()).pathname).toBe('/unlock/');
    expect(openings()).toBe(1);
  });

  test('with keys alone', async () => {
    const page = await arrive((await link({ require_identity: true })).access_url);
    await shows(page, 'ready');
    const focused = () => page.evaluate<string>(`document.activeElement.id || document.activeElement.textContent.trim()`);
    const reach = async (what: string) => {
      for (let steps = 0; steps < 15 && (await focused()) !== what; steps++) await page.keyboard.press('Tab');
      expect(await focused()).toBe(what);
    };
    await reach('name');
    await page.keyboard.type('Jo');
    await reach('company');
    await page.keyboard.type('Swift');
    await reach('Open the box');
    await page.keyboard.press('Space');
    await shows(page, 'open');
    expect(await focused()).toBe('The box is open.');
    expect(openings()).toBe(1);
  });

  test('the phone has no connection when the button is pressed: nothing is sent until it has', async () => {
    const page = await arrive((await link()).access_url);
    await shows(page, 'ready');
    await page.context().setOffline(true);
    await press(page);
    await shows(page, 'phone-offline', 'Your phone has no connection');
    expect(await page.textContent('.state p')).toBe('Nothing was sent. The page continues when you are back online.');
    expect(openings()).toBe(0);
    await page.context().setOffline(false);
    await shows(page, 'open');
    expect(openings()).toBe(1);
  });

  test('back only after a while: what was pressed then is not wanted any more', async () => {
    const visitor = await newVisitor(browser, app.url);
    visitors.push(visitor);
    const { page } = visitor;
    await page.clock.install();
    await page.goto((await link()).access_url);
    await shows(page, 'ready');
    await page.context().setOffline(true);
    await press(page);
    await shows(page, 'phone-offline');
    await page.clock.runFor(31_000);
    await page.context().setOffline(false);
    await shows(page, 'ready');
    expect(openings()).toBe(0);
  });

  test('the connection is lost after the request has left: the page finds out what came of it', async () => {
    const page = await arrive((await link()).access_url);
    await shows(page, 'ready');
    await unlocks(page, async (route) => {
      await route.fetch();
      await page.context().setOffline(true);
      await route.abort('internetdisconnected');
    });
    await press(page);
    await shows(page, 'phone-lost', 'Your phone has no connection');
    expect(await page.textContent('.state p')).not.toContain('Nothing was sent');
    await page.context().setOffline(false);
    await shows(page, 'open');
    expect(openings()).toBe(1);
  });

  test('a request that is lost on its way is sent again, with the same key', async () => {
    const page = await arrive((await link()).access_url);
    await shows(page, 'ready');
    const keys: (string | null)[] = [];
    await unlocks(page, async (route) => {
      keys.push(new URLSearchParams(route.request().postData() ?? '').get('key'));
      if (keys.length === 1) await route.abort('connectionreset');
      else await route.continue();
    });
    await press(page);
    await shows(page, 'open');
    expect(keys).toEqual([keys[0], keys[0]]);
    expect(openings()).toBe(1);
  });

  test('a slow network: it says so, and pressing again opens nothing twice', async () => {
    const visitor = await newVisitor(browser, app.url);
    visitors.push(visitor);
    const { page } = visitor;
    await page.clock.install();
    await page.goto((await link()).access_url);
    await shows(page, 'ready');
    let letGo = (): void => undefined;
    const held = new Promise<void>((resolve) => (letGo = resolve));
    await unlocks(page, async (route) => {
      await held;
      await route.continue();
    });
    await press(page);
    await shows(page, 'asking', 'Asking the box to open…');
    await page.clock.runFor(8_100);
    await shows(page, 'slow', 'Still sending');
    expect(await page.textContent('.state p')).toBe('Keep this page open. Pressing again will not open the box twice.');
    await page.click('[data-again]');
    letGo();
    await shows(page, 'open');
    expect(openings()).toBe(1);
  });

  test('no WebSocket gets through: it asks instead', async () => {
    const page = await arrive('about:blank');
    await page.routeWebSocket(/\/ws\//, (socket) => void socket.close());
    await page.goto((await link()).access_url);
    await shows(page, 'ready');
    await press(page);
    await shows(page, 'open');
    box.hands.setDoor(true);
    box.hands.setDoor(false);
    await shows(page, 'delivered');
  });

  test('two couriers with one link: the second one reads why not', async () => {
    const { access_url } = await link();
    const [first, second] = await Promise.all([arrive(access_url), arrive(access_url)]);
    await press(first);
    await shows(first, 'open');
    await shows(second, 'used', 'This link has already been used'); // told by the socket, nobody pressed
    expect(openings()).toBe(1);
  });

  test('the owner ends the link while the courier stands there', async () => {
    const { id, access_url } = await link();
    const page = await arrive(access_url);
    await shows(page, 'ready');
    await owner.api.post(`/access/links/${id}/deactivate`);
    await shows(page, 'cancelled', 'This link was cancelled');
    expect(openings()).toBe(0);
  });

  test('the door is stuck; the next press is another attempt, and opens', async () => {
    const page = await arrive((await link()).access_url);
    await page.fill('#name', 'Jo');
    box.faults.bolt('jammed', 'jammed'); // it tries twice
    await press(page);
    await shows(page, 'jammed', 'The door is stuck');
    expect(await page.textContent('.state')).toContain('Your link has not been used up.');
    await press(page);
    await shows(page, 'open');
    expect(openings()).toBe(1);
    expect((await deliveries())[0]).toMatchObject({ delivery_person_name: 'Jo' });
  });

  test('a parcel is inside: it opens when the courier says so', async () => {
    const page = await arrive((await link()).access_url);
    await shows(page, 'ready');
    box.hands.setParcel(true);
    await expect.poll(async () => (await owner.api.get<{ action: string }[]>(`/devices/${box.deviceId}/activity`)).some(({ action }) => action === 'item_stored')).toBe(true);
    await press(page);
    await shows(page, 'parcel-inside', 'The box already holds a parcel');
    expect(openings()).toBe(0);
    await page.click('text=Open anyway');
    await shows(page, 'open');
    expect(openings()).toBe(1);
  });

  test('the box is not there', async () => {
    const page = await arrive((await link()).access_url);
    await shows(page, 'ready');
    await box.stop();
    await press(page);
    await shows(page, 'offline', 'The box has no connection');
    expect(await page.textContent('.state p')).toContain('Your link has not been used up.');
  });

  test('out of service, seen by looking', async () => {
    const { access_url } = await link();
    await admin.api.post(`/admin/devices/${box.deviceId}/maintenance`, { reason: 'a new hinge' });
    await shows(await arrive(access_url), 'maintenance', 'This box is out of service');
  });
});
