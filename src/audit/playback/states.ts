import type { DeviceState } from '../../domain/device/state.ts';
import { UnknownEvent } from '../../domain/registry.ts';
import type { Uuid } from '../../domain/kernel.ts';
import type { EventStore, RecordedEvent } from '../../platform/event-store/port.ts';
import { differenceOf, type Change } from '../history/diff.ts';
import { createFold, linksNamedBy, linksUnderWay, type Fold } from '../history/fold.ts';
import { HistoryBusy, HistoryNotReady, type AggregateCategory, type History } from '../history/history.ts';
import { shownLink, shownState, type Shown } from '../history/states.ts';

/** What an event was about, as it was right after it, and what of that it changed. */
export interface Beside {
  readonly kind: 'device' | 'user' | 'link';
  readonly id: Uuid;
  /** null: nothing yet, or not to be had now. */
  readonly state: Shown | null;
  readonly changes: readonly Change[];
}

export interface StatesBeside {
  /** The box or the account of the event, and the links that it names or changed. None for streams that fold to nothing. */
  beside(event: { readonly stream: string; readonly revision: bigint }): Promise<readonly Beside[]>;
}

/** Streams whose fold is kept from one line to the next. */
const FOLDS = 64;
/** Further than so many events ahead, the fold begins anew from a milestone. */
const FORWARD = 512n;

const categories: readonly AggregateCategory[] = ['device', 'user'];

/** Reads alone: a fold for each stream goes along with the lines, also over events that a filter leaves out. */
export function createStatesBeside({ history, store }: { readonly history: Pick<History, 'at'>; readonly store: Pick<EventStore, 'readStream'> }): StatesBeside {
  const folds = new Map<string, Fold>();

  async function foldBefore(category: AggregateCategory, id: Uuid, revision: bigint, links: readonly Uuid[]): Promise<Fold> {
    if (revision === 0n) return createFold(category);
    const past = await history.at(category, id, { kind: 'revision', revision: revision - 1n }, links);
    return past.kind === 'state' ? past.fold : createFold(category);
  }

  function keep(stream: string, fold: Fold): void {
    folds.delete(stream);
    folds.set(stream, fold);
    if (folds.size > FOLDS) folds.delete(folds.keys().next().value!);
  }

  async function besideOf(category: AggregateCategory, id: Uuid, stream: string, revision: bigint): Promise<readonly Beside[]> {
    const known = folds.get(stream);
    const end = known?.end?.revision ?? -1n;
    let fold = known !== undefined && end < revision && revision - end <= FORWARD ? known : await foldBefore(category, id, revision, []);
    folds.delete(stream); // a fold that fails halfway is not used again
    const from = (fold.end?.revision ?? -1n) + 1n;
    let shown: readonly Beside[] = [];
    for await (const event of store.readStream(stream, { from, limit: Number(revision - from) + 1 })) {
      const named = linksNamedBy(event);
      // A fold that began at a milestone has the links that were asked for.
      if (event.type !== 'LinkCreated' && named.some((linkId) => !fold.knowsLink(linkId))) fold = await foldBefore(category, id, event.revision, named);
      if (event.revision === revision) shown = changed(category, id, fold, event);
      else fold.take(event);
    }
    keep(stream, fold);
    return shown;
  }

  return {
    async beside({ stream, revision }) {
      const category = categories.find((each) => stream.startsWith(`${each}-`));
      if (category === undefined) return [];
      const id = stream.slice(category.length + 1);
      try {
        return await besideOf(category, id, stream, revision);
      } catch (error) {
        // The line is shown all the same: it does not depend on what it meant.
        if (error instanceof HistoryBusy || error instanceof HistoryNotReady || error instanceof UnknownEvent) return [{ kind: category, id, state: null, changes: [] }];
        throw error;
      }
    },
  };
}

function changed(category: AggregateCategory, id: Uuid, fold: Fold, event: RecordedEvent): readonly Beside[] {
  const at = event.metadata.occurredAt;
  const named = new Set(category === 'device' ? linksNamedBy(event) : []);
  const links = category === 'device' ? [...new Set([...named, ...linksUnderWay(fold.state)])] : [];
  const linkIn = (linkId: Uuid) => shownLink(fold.state as DeviceState, linkId, at);
  const before = shownState(category, fold.state);
  const linksBefore = links.map(linkIn);
  fold.take(event);
  const state = shownState(category, fold.state);
  return [
    { kind: category, id, state, changes: differenceOf(before, state) },
    ...links.flatMap((linkId, index): Beside[] => {
      const link = linkIn(linkId);
      const changes = differenceOf(linksBefore[index] ?? null, link);
      return named.has(linkId) || changes.length > 0 ? [{ kind: 'link', id: linkId, state: link, changes }] : [];
    }),
  ];
}
