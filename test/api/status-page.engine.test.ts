import type { Browser } from 'playwright-core';
import { afterAll, beforeAll, expect, test } from 'vitest';
import { accessibilityFaults, newVisitor } from '../courier-page/browser.ts';
import { startApi, type TestApi } from '../support/api.ts';
import { describeWithServer } from '../support/optional-server.ts';
import { projectionBoard, projectionRow } from '../support/projection-board.ts';
import { chromiumMissing, launchChromium } from '../support/servers-chromium.ts';

describeWithServer('chromium', chromiumMissing(), 'the status page of the read models', () => {
  let browser: Browser;
  let api: TestApi;
  let settled = false;
  const board = projectionBoard();
  beforeAll(async () => {
    [browser, api] = await Promise.all([
      launchChromium(),
      startApi({ projections: { ...board, status: async () => (settled ? { head: 42n, projections: [projectionRow({ behind: 0, lagSeconds: 0 })] } : board.status()) } }),
    ]);
  });
  afterAll(async () => {
    await browser?.close();
    await api?.stop();
  });

  test.each([
    ['dark', 320],
    ['light', 1_280],
  ] as const)('%s, %i wide: signed in to, it shows what is live, built and stopped, and looks again by itself', { timeout: 120_000 }, async (colorScheme, width) => {
    settled = false;
    const { page, faults, close } = await newVisitor(browser, api.url, { viewport: { width, height: 800 }, colorScheme });
    const { token } = api.signIn({ adminRole: 'support' });
    // Who signs in with which password is tried elsewhere.
    await page.route('**/api/v1/admin/auth/login', async (route) => {
      const { email, password } = route.request().postDataJSON() as { email: string; password: string };
      const good = email === 'ana@example.com' && password === 'correct horse battery';
      await route.fulfill({ status: good ? 200 : 401, contentType: 'application/json', body: JSON.stringify(good ? { access_token: token, refresh_token: 'none' } : { error: 'unauthorized', message: 'Invalid email or password' }) });
    });
    await page.goto(`${api.url}/status/projections`);
    expect(await accessibilityFaults(page)).toEqual([]);
    await page.getByLabel('Email').fill('ana@example.com');
    await page.getByLabel('Password').fill('wrong');
    await page.getByRole('button', { name: 'Sign in' }).click();
    await expect.poll(() => page.getByRole('alert').textContent()).toBe('Invalid email or password');
    await page.getByLabel('Password').fill('correct horse battery');
    await page.getByRole('button', { name: 'Sign in' }).click();
    await page.waitForSelector('li.model');
    const text = await page.innerText('#models');
    for (const words of ['audit', 'Stopped', 'It stands before LinkCreated at position 42: no such row', 'links', '42 %', '420 of 1,000 events, 40 per second, about 15 s left', 'Lag', '12, 70 s']) expect(text).toContain(words);
    expect(await page.innerText('#said')).toBe('Stopped: audit. Being built: links.');
    await page.locator('[data-name=devices] summary').click();
    expect(await page.innerText('[data-name=devices] details')).toContain('2 (version 2): former, at 30, 0.0 MB, kept until');
    expect(await accessibilityFaults(page)).toEqual([]);
    expect(await page.evaluate('document.documentElement.scrollWidth - document.documentElement.clientWidth')).toBe(0);
    if (process.env['TEST_SCREENSHOTS'] !== undefined) await page.screenshot({ path: `${process.env['TEST_SCREENSHOTS']}/status-${colorScheme}-${width}.png`, fullPage: true });
    settled = true;
    await expect.poll(() => page.innerText('#said'), { timeout: 10_000 }).toBe('All are live.');
    expect(await page.locator('[data-name=devices] details').getAttribute('open')).toBe(''); // what was opened stays open
    expect(await page.evaluate('JSON.stringify([{ ...localStorage }, { ...sessionStorage }, document.cookie])')).toBe('[{},{},""]');
    await page.getByRole('button', { name: 'Sign out' }).click();
    await page.getByLabel('Email').waitFor();
    expect(await page.innerText('main')).not.toContain('devices');
    expect(faults).toEqual([]);
    await close();
  });
});
