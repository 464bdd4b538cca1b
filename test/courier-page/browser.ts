import axe from 'axe-core';
import type { Browser, BrowserContextOptions, Page } from 'playwright-core';
import { expect } from 'vitest';

export interface Visitor {
  readonly page: Page;
  /** What no visit may bring about: errors of the script, of the policy, requests to anybody else. */
  readonly faults: string[];
  close(): Promise<void>;
}

const phone: BrowserContextOptions = { viewport: { width: 390, height: 844 }, hasTouch: true, locale: 'en-GB', timezoneId: 'Europe/Istanbul' };

/** Somebody with a phone. */
export async function newVisitor(browser: Browser, origin: string, options: BrowserContextOptions = {}): Promise<Visitor> {
  const context = await browser.newContext({ ...phone, ...options });
  const page = await context.newPage();
  page.setDefaultTimeout(15_000);
  const faults: string[] = [];
  page.on('pageerror', (error) => faults.push(`error: ${error.message}`));
  page.on('console', (message) => {
    // The browser's own line for an answer that refuses, or for a network that is gone, is no fault of the page.
    if (message.type() === 'error' && !/status of \d+|net::ERR_|WebSocket connection/.test(message.text())) faults.push(`console: ${message.text()}`);
  });
  page.on('request', (request) => {
    if (!request.url().startsWith('data:') && new URL(request.url()).host !== new URL(origin).host) faults.push(`elsewhere: ${request.url()}`);
  });
  return { page, faults, close: () => context.close() };
}

/** The screen is shown, with this heading where one is given. */
export async function shows(page: Page, screen: string, heading?: string | RegExp): Promise<void> {
  await page.waitForSelector(`main[data-screen="${screen}"]`);
  if (heading !== undefined) expect(await page.textContent('h1')).toMatch(heading);
}

const rules: axe.RunOptions = { runOnly: ['wcag2a', 'wcag2aa', 'wcag21a', 'wcag21aa', 'wcag22aa', 'best-practice'] };

/** WCAG 2.2 AA, and what axe holds for good practice. */
export async function accessibilityFaults(page: Page): Promise<readonly string[]> {
  // Over the debugger's line: the page's own policy lets no script in, which is as it should be.
  await page.evaluate(axe.source);
  const { violations } = await page.evaluate<axe.AxeResults>(`axe.run(document, ${JSON.stringify(rules)})`);
  return violations.map(({ id, nodes }) => `${id}: ${nodes.map(({ html }) => html).join(' | ')}`);
}

/** What is wider than the screen, or too small for a thumb. Code of the page: the types here know no document. */
const layout = `(() => {
  const { clientWidth, scrollWidth } = document.documentElement;
  const wide = scrollWidth > clientWidth ? [scrollWidth + ' px wide on a screen of ' + clientWidth] : [];
  const small = [...document.querySelectorAll('a, button, summary, input:not([type=hidden])')]
    .map((each) => ({ each, box: (each.closest('.check:not([hidden])') ?? each).getBoundingClientRect() }))
    .filter(({ box }) => box.width > 0 && (box.height < 44 || box.width < 44))
    .map(({ each, box }) => Math.round(box.width) + ' × ' + Math.round(box.height) + ': ' + each.outerHTML.slice(0, 80));
  return [...wide, ...small];
})()`;

export const layoutFaults = (page: Page): Promise<readonly string[]> => page.evaluate<readonly string[]>(layout);
