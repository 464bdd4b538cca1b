import { createClient } from '../test/support/api-client.ts';
import { until } from '../test/support/until.ts';
import type { Dice } from './dice.ts';
import { comeToRest, readLog } from './liveness.ts';
import { startLoad } from './load.ts';
import { pause, type Model } from './model.ts';
import type { Crew } from './people.ts';
import { query, type World } from './world.ts';

/** What is done once in the life of a world, at its end: after it nothing is as it was. */

/**
 * The server is put back to an earlier moment, log and vault together, while the boxes go on: what was asked since then is
 * void, what the boxes did since then stays done, and none of it may happen a second time.
 */
export async function restoreFromBackup(world: World, model: Model, crew: Crew, dice: Dice): Promise<void> {
  if (world.backUp === undefined) return;
  const [server] = world.roles;
  await keysToBeRenewed(world, model);
  await server!.stop();
  const putBack = await world.backUp();
  await server!.start();
  await comeToRest(world, model, crew);
  const before = { asked: model.asked.length, links: model.links.length, at: Date.now() };

  const load = startLoad(world, model, crew.admin, dice.of('forgotten'), { administrator: false });
  await pause(dice.between(1_500, 3_000));
  await server!.kill();
  await load.stop();
  model.asked.length = before.asked;
  model.links.length = before.links;
  model.log.length = 0;
  await putBack();
  // A position that the log no longer has says nothing: operators tell people to open their apps anew.
  for (const listener of crew.listeners) listener.beginAnew();
  for (const { lockbox, opened, acked, puback } of model.boxes) {
    for (const { at, commandId } of lockbox.movements) if (at >= before.at && commandId !== undefined) model.forgotten.add(commandId);
    const known = opened.filter((id) => !model.forgotten.has(id));
    opened.splice(0, opened.length, ...known);
    acked.clear();
    puback.clear();
  }
  await server!.start();
  const after = startLoad(world, model, crew.admin, dice.of('restored'), { administrator: false });
  await pause(2_000);
  await after.stop();
}

/**
 * A box that is given a key after the backup has to be flashed again (docs/operations.md), and each claim gives one, with a
 * heartbeat: those that are on their way are waited for.
 */
async function keysToBeRenewed(world: World, model: Model): Promise<void> {
  await until(
    'every box to have the key of its last owner',
    async () => {
      await readLog(world, model);
      const waiting = model.boxes.filter(({ deviceId, lockbox: { state } }) => {
        const last = (type: string) => model.log.findLast((event) => event.type === type && event.stream === `device-${deviceId}`)?.position ?? -1n;
        const renewed = last('DeviceKeysRotated');
        return state === undefined || state.pendingKeyVersion !== undefined || renewed < last('DeviceAssigned') || renewed < last('DeviceKeyRotationStarted');
      });
      for (const { lockbox } of waiting) lockbox.sendHeartbeat();
      if (waiting.length > 0) await pause(500);
      return waiting.length === 0;
    },
    90_000,
  );
}

/** I14: of somebody who was erased nothing is left, neither in a table nor in a file. */
export async function eraseSomebody(world: World, model: Model, crew: Crew): Promise<readonly string[]> {
  const owner = model.owners.at(-1)!;
  const admin = createClient(world.url, crew.admin.token);
  const { erasure_id: id } = await admin.post<{ erasure_id: string }>(`/admin/users/${owner.userId}/erase`, { confirm: owner.email, ground: 'requested' });
  const done = await until('the erasure to be completed', async () => (await createClient(world.url).get<{ status: string }>(`/erasures/${id}`)).status === 'completed', 60_000).catch(() => false);
  if (!done) return [`the erasure ${id} is not completed after a minute`];
  const url = await world.databaseUrl();
  const tables = await query<{ name: string }>(url, `SELECT format('%I.%I', table_schema, table_name) AS name FROM information_schema.tables WHERE table_type = 'BASE TABLE' AND table_schema NOT IN ('pg_catalog', 'information_schema')`);
  const found: string[] = [];
  for (const { name } of tables) {
    for (const text of [owner.email, owner.name]) {
      const rows = await query<{ row: string }>(url, `SELECT left(t::text, 300) AS row FROM ${name} t WHERE position($1 in t::text) > 0 LIMIT 1`, [text]);
      found.push(...rows.map(({ row }) => `${text} of somebody who was erased is in ${name}: ${row}`));
    }
  }
  return found;
}
