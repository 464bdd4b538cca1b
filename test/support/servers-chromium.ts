import { existsSync } from 'node:fs';
import { chromium, type Browser } from 'playwright-core';

const binaries = ['/usr/bin/chromium', '/usr/bin/chromium-browser', '/usr/bin/google-chrome', '/Applications/Google Chrome.app/Contents/MacOS/Google Chrome'];
const binary = (): string | undefined => process.env['TEST_CHROMIUM'] ?? binaries.find(existsSync);

/** Why there is no Chromium here, or nothing. */
export function chromiumMissing(): string | undefined {
  return binary() === undefined ? 'no chromium binary' : undefined;
}

/** That of the machine (or of TEST_CHROMIUM), without a window. */
export function launchChromium(): Promise<Browser> {
  const executablePath = binary();
  if (executablePath === undefined) throw new Error('Chromium cannot be started here');
  // In a container there is neither a sandbox for root nor much shared memory.
  return chromium.launch({ executablePath, args: ['--no-sandbox', '--disable-dev-shm-usage', '--disable-gpu'] });
}
