import { writeFileSync } from 'node:fs';
import type { Reporter, TestModule, TestSuite } from 'vitest/node';

/** What one run of vitest comes to, for `.ci/summary.ts`. */
export interface RunReport {
  readonly passed: number;
  readonly failed: number;
  readonly skipped: number;
  /** What failed and why: tests, hooks, files that do not load, errors that nobody caught. */
  readonly failures: readonly { readonly name: string; readonly messages: readonly string[] }[];
  /** Failed first, passed when run once more. */
  readonly unsteady: readonly string[];
}

/** vitest's own JSON says nothing of a hook that failed but that its tests were skipped. Writes to the file in RUN_REPORT. */
// oxlint-disable-next-line import/no-default-export -- vitest takes a reporter by its default export
export default class RunReporter implements Reporter {
  onTestRunEnd(modules: readonly TestModule[], unhandled: readonly { readonly message: string }[]): void {
    const tests = modules.flatMap((module) => [...module.children.allTests()]);
    const count = (state: 'passed' | 'failed') => tests.filter((test) => test.result().state === state).length;
    const [passed, failed] = [count('passed'), count('failed')];
    const failures = [
      ...modules.map((module) => ({ name: nameOf(module), messages: messagesOf(module.errors()) })),
      ...modules.flatMap((module) => [...module.children.allSuites()]).map((suite) => ({ name: nameOf(suite), messages: messagesOf(suite.errors()) })),
      ...tests.map((test) => ({ name: `${test.module.relativeModuleId} > ${test.fullName}`, messages: test.result().state === 'failed' ? messagesOf(test.result().errors ?? []) : [] })),
      ...unhandled.map((error) => ({ name: 'an error that nobody caught', messages: messagesOf([error]) })),
    ].filter(({ messages }) => messages.length > 0);
    const unsteady = tests.filter((test) => test.diagnostic()?.flaky === true).map((test) => `${test.module.relativeModuleId} > ${test.fullName}`);
    const report: RunReport = { passed, failed, skipped: tests.length - passed - failed, failures, unsteady };
    writeFileSync(process.env['RUN_REPORT']!, JSON.stringify(report));
  }
}

function nameOf(part: TestModule | TestSuite): string {
  return part.type === 'module' ? part.relativeModuleId : `${part.module.relativeModuleId} > ${part.fullName}`;
}

function messagesOf(errors: readonly { readonly message: string }[]): readonly string[] {
  return errors.map(({ message }) => message.split('\n').slice(0, 12).map((line) => line.slice(0, 300)).join('\n'));
}
