import { readdirSync, readFileSync } from 'node:fs';
import { join } from 'node:path';
import type { RunReport } from './reporter.ts';

/**
 * The sum of the reports in a folder, and of the steps that failed; for .ci/run. Exits 1 when anything failed. What failed is
 * named once more: often only the end of a log is kept.
 */
const [folder = '.', failedSteps = '0'] = process.argv.slice(2);
const reports = readdirSync(folder)
  .filter((file) => file.endsWith('.json'))
  .map((file) => JSON.parse(readFileSync(join(folder, file), 'utf8')) as RunReport);
const sum = (of: (report: RunReport) => number) => reports.reduce((total, report) => total + of(report), 0);
for (const name of reports.flatMap(({ unsteady }) => unsteady)) process.stdout.write(`passed at the second attempt only: ${name}\n`);
for (const { name, messages } of reports.flatMap(({ failures }) => failures)) {
  process.stdout.write(`failed: ${name}\n${messages.join('\n').replaceAll(/^/gm, '  ')}\n`);
}
const passed = sum((report) => report.passed);
// A step can fail without a test: lint, types, a file that does not load.
const failed = Math.max(sum((report) => Math.max(report.failed, report.failures.length)), Number(failedSteps));
process.stdout.write(`${passed} passed, ${failed} failed, ${sum(({ skipped }) => skipped)} skipped\n`);
process.exitCode = failed === 0 && passed > 0 ? 0 : 1;
