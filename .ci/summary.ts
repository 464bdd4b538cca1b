import { readdirSync, readFileSync } from 'node:fs';
import { join } from 'node:path';

/** The sum of vitest's JSON reports in a folder, and of the steps that failed; for .ci/run. Exits 1 when anything failed. */
interface Report {
  readonly numPassedTests: number;
  readonly numFailedTests: number;
  readonly numPendingTests: number;
  readonly numTodoTests: number;
}

const [folder = '.', failedSteps = '0'] = process.argv.slice(2);
const reports = readdirSync(folder)
  .filter((file) => file.endsWith('.json'))
  .map((file) => JSON.parse(readFileSync(join(folder, file), 'utf8')) as Report);
const sum = (of: (report: Report) => number) => reports.reduce((total, report) => total + of(report), 0);
const passed = sum(({ numPassedTests }) => numPassedTests);
// A step can fail without a test: lint, types, a file that does not load.
const failed = Math.max(sum(({ numFailedTests }) => numFailedTests), Number(failedSteps));
const skipped = sum(({ numPendingTests, numTodoTests }) => numPendingTests + numTodoTests);
process.stdout.write(`${passed} passed, ${failed} failed, ${skipped} skipped\n`);
process.exitCode = failed === 0 && passed > 0 ? 0 : 1;
