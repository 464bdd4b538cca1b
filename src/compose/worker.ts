import { createDispatcher } from '../bridge/dispatcher.ts';
import { createIngest } from '../bridge/ingest.ts';
import { createUnlockTraces } from '../bridge/unlock-traces.ts';
import { integrationReactor } from '../bridge/integration-events.ts';
import type { Keyring } from '../bridge/keyring.ts';
import type { LiveDevices } from '../bridge/live-devices.ts';
import type { DeviceProvisioner } from '../bridge/provisioning.ts';
import type { RejectedMessages } from '../bridge/rejected-messages.ts';
import { offlineWatch, type OfflineCheck } from '../bridge/offline.ts';
import type { Aggregates } from '../commands/handle.ts';
import type { AwaitInFlight } from '../commands/in-flight.ts';
import { deadlineKeeper, type DeadlineQueue } from '../commands/policies/deadlines.ts';
import { keyRotationReactor } from '../commands/policies/key-rotation.ts';
import { runReactor, type Reactor } from '../commands/policies/reactor.ts';
import { sessionReactor, type SessionVault } from '../commands/policies/sessions.ts';
import { suspensionReactor, type BoxesOfOwner } from '../commands/policies/suspension.ts';
import { provisioningReactor } from '../commands/registration.ts';
import { whileLeader } from '../platform/postgres/leader.ts';
import type { DeviceKeys } from '../platform/vault/device-keys.ts';
import type { Ground } from './ground.ts';

export interface WorkerParts {
  readonly bus: Aggregates;
  readonly live: LiveDevices;
  readonly keyring: Keyring;
  readonly rejected: RejectedMessages;
  readonly provisioner: DeviceProvisioner;
  readonly deviceKeys: DeviceKeys;
  readonly awaitInFlight: AwaitInFlight;
  readonly boxes: BoxesOfOwner;
  readonly sessions: SessionVault;
  readonly deadlines: DeadlineQueue;
  readonly offline: OfflineCheck;
  readonly erasures: Reactor;
}

/** What turns facts into effects: dispatcher, policies, deadlines, and the other end of the reports. */
export async function startWorker(ground: Ground, parts: WorkerParts): Promise<void> {
  const { bus, live, keyring, rejected, provisioner, deviceKeys, awaitInFlight, boxes, sessions, deadlines, offline, erasures } = parts;
  const { config, store, logId, relay, tracing, clock, logger, metrics, url } = ground;
  const pool = ground.database('loqey-worker', 6).pool;

  const traces = createUnlockTraces({ store, tracing });
  const dispatcher = createDispatcher({ bus, live, keyring, relay, traces, provisioner, allowLevel0: config.allowLevel0Devices, clock, logger, metrics });
  ground.keep('dispatcher', { stop: () => dispatcher.drained() });
  bus.onAppended((events) => dispatcher.hint(events));
  bus.continueWith(dispatcher.continuation);

  const reactors: readonly Reactor[] = [dispatcher.reactor, suspensionReactor(bus, boxes), provisioningReactor(provisioner, awaitInFlight), keyRotationReactor(bus), sessionReactor(sessions), erasures, integrationReactor(relay)];
  const running = reactors.map((reactor) => runReactor(reactor, { store, pool, logId, clock, logger, metrics }));
  await ground.start('ingest', createIngest({ bus, live, keyring, relay, dispatcher, deviceKeys, provisioner, rejected, traces, clock, logger, metrics }));
  for (const [index, reactor] of running.entries()) await ground.start(reactors[index]!.name, reactor);
  const keeper = deadlineKeeper({ queue: deadlines, bus, clock, logger, metrics });
  ground.health.set('worker', () => {
    const stuck = [...running.map((reactor) => reactor.health()), { name: 'deadlines', ...keeper.health() }].filter(({ healthy }) => !healthy);
    return stuck.length === 0
      ? { state: 'healthy', detail: `${running.length} reactors running` }
      : { state: 'degraded', detail: stuck.map(({ name, detail }) => `${name}: ${detail}`).join('; ') };
  });

  await ground.start('deadlines', whileLeader('deadlines', url, logger, keeper.run));
  await ground.start('offline watch', whileLeader('offline', url, logger, offlineWatch({ check: offline, logger })));
}
