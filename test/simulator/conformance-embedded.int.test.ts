import { afterAll, beforeAll, expect, it } from 'vitest';
import { deviceConformance } from '../contract/device-conformance.ts';
import { pinnedBoxesAreBelievedByTheirSignatureAlone } from '../contract/pinned-boxes.ts';
import { serverConformance } from '../contract/server-conformance.ts';
import { startApp, type RunningApp } from '../support/app.ts';
import { embeddedWire } from '../support/wires.ts';

deviceConformance('the embedded broker', embeddedWire, { flips: 4_432, rubbish: 20_000 });
serverConformance('the embedded broker', embeddedWire);

let app: RunningApp;
beforeAll(async () => {
  app = await startApp();
});
afterAll(() => app.stop());

// 29 is part of the contract of every broker: test/contract/mqtt.ts.
it('30: unsigned messages of a pinned box have no effect and are counted', async () => {
  await pinnedBoxesAreBelievedByTheirSignatureAlone(app, Number(new URL(app.addresses.mqtt!).port));
  expect(await app.metrics.registry.getSingleMetricAsString('loqey_rejected_messages_total')).toMatch(/reason="foreign_topic",via="mqtt"} [1-9]/);
});
