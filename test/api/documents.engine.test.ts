import type { Browser } from 'playwright-core';
import { afterAll, beforeAll, expect, test } from 'vitest';
import { accessibilityFaults, newVisitor } from '../courier-page/browser.ts';
import { startApi, type TestApi } from '../support/api.ts';
import { describeWithServer } from '../support/optional-server.ts';
import { chromiumMissing, launchChromium } from '../support/servers-chromium.ts';

describeWithServer('chromium', chromiumMissing(), 'the pages of the description in a browser', () => {
  let browser: Browser;
  let api: TestApi;
  beforeAll(async () => {
    [browser, api] = await Promise.all([launchChromium(), startApi()]);
  });
  afterAll(async () => {
    await browser?.close();
    await api?.stop();
  });

  test('Swagger UI works under its policy: an operation is opened, tried and answered', { timeout: 120_000 }, async () => {
    const { page, faults, close } = await newVisitor(browser, api.url, { viewport: { width: 1_280, height: 900 } });
    await page.goto(`${api.url}/docs`);
    await page.locator('#operations-tag-system').click();
    await page.locator('#operations-system-version .opblock-summary-control').click();
    await page.getByRole('button', { name: 'Try it out' }).click();
    await page.getByRole('button', { name: 'Execute' }).click();
    await expect.poll(() => page.locator('.live-responses-table tbody .response-col_status').first().textContent()).toContain('200');
    expect(faults).toEqual([]);
    await close();
  });

  test.each(['/redoc', '/asyncapi'])('%s can be read by everybody, and on a narrow screen', { timeout: 240_000 }, async (path) => {
    const { page, faults, close } = await newVisitor(browser, api.url, { viewport: { width: 320, height: 640 }, colorScheme: 'dark' });
    await page.goto(api.url + path);
    expect(await page.evaluate('document.documentElement.scrollWidth - document.documentElement.clientWidth')).toBe(0);
    expect(await accessibilityFaults(page)).toEqual([]);
    expect(faults).toEqual([]);
    await close();
  });
});
