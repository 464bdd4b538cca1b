import fc from 'fast-check';
import { describe, expect, it } from 'vitest';
import { commandActions } from '../../src/bridge/protocol/commands.ts';
import { reportKinds } from '../../src/bridge/protocol/signature.ts';
import { downTopics, parseUpTopic, reportTopic, topicFor, uplinkFilters, upTopics, type Profile, type TopicOwner } from '../../src/bridge/topics.ts';

const id = '6f1c2a4e-0b5d-4c7e-9a31-2d8e5f7a9b10';
const box = (profile: Profile): TopicOwner => ({ profile, deviceId: id, serialNumber: 'LQ-0001', hardwareId: 'hw:01' });
const all: readonly Profile[] = ['loqey', 'loqey_serial', 'smartlock', 'transisttag'];

describe('topics', () => {
  it('of a box of each family', () => {
    expect(upTopics(box('loqey'))).toEqual(['status', 'heartbeat', 'battery', 'responses'].map((name) => `loqey/devices/${id}/${name}`));
    expect(downTopics(box('loqey'))).toEqual(['unlock', 'config', 'system'].map((name) => `loqey/devices/${id}/commands/${name}`));
    expect(upTopics(box('loqey_serial'))).toEqual(['status', 'heartbeat', 'battery', 'responses'].map((name) => `loqey/devices/LQ-0001/${name}`));
    expect(downTopics(box('loqey_serial'))).toEqual(['loqey/devices/LQ-0001/command']);
    expect(upTopics(box('smartlock'))).toEqual(['smartlock/hw:01/status', 'smartlock/hw:01/heartbeat', 'smartlock/hw:01/response']);
    expect(downTopics(box('smartlock'))).toEqual(['smartlock/hw:01/command']);
    expect(upTopics(box('transisttag'))).toEqual(['/topic/transisttag/status']);
    expect(downTopics(box('transisttag'))).toEqual(['/topic/transisttag/command']);
  });

  it('a command goes to one topic, which the box subscribes to', () => {
    for (const profile of all) for (const action of commandActions) expect(downTopics(box(profile))).toContain(topicFor(box(profile), action));
    expect(topicFor(box('loqey'), 'rotate_key')).toBe(`loqey/devices/${id}/commands/system`);
  });

  it('what a box publishes to is parsed back to it, and within the uplink filters', () => {
    const keys = { loqey: id, loqey_serial: 'LQ-0001', smartlock: 'hw:01', transisttag: undefined };
    for (const profile of all) {
      for (const kind of reportKinds) {
        const topic = reportTopic(box(profile), kind);
        if (topic === undefined) continue;
        expect(parseUpTopic(topic)).toEqual({ profile, key: keys[profile], kind });
        expect(uplinkFilters.some((filter) => new RegExp(`^${filter.replace('+', '[^/]+')}$`).test(topic))).toBe(true);
      }
    }
    expect(reportTopic(box('transisttag'), 'responses')).toBeUndefined();
  });

  it('what no box may publish to is nobody’s', () => {
    for (const topic of [
      '', '/', 'status', `loqey/devices/${id}`, `loqey/devices/${id}/commands/unlock`, `loqey/devices/${id}/commands`, `loqey/devices/${id}/status/x`,
      `/loqey/devices/${id}/status`, `loqey/devices/${id.toUpperCase()}/status`, 'loqey/devices/lq-0001/status', 'loqey/devices//status', 'loqey/devices/LQ-0001/response',
      `loqey/devices/${id}/constructor`, `loqey/devices/${id}/__proto__`, 'loqey/devices/+/status', 'loqey/devices/#', 'smartlock/hw/battery', 'smartlock/hw/command', 'smartlock/hw/ota',
      'smartlock//status', 'smartlock/+/status', 'smartlock/a\u0000b/status', 'smartlock/toString/valueOf', '/topic/transisttag/command', 'topic/transisttag/status', '/topic/transisttag/status/', '$SYS/broker/uptime',
    ]) {
      expect(parseUpTopic(topic), topic).toBeUndefined();
    }
  });

  it('a name that is no single level is refused, not quoted', () => {
    for (const bad of ['', 'a/b', 'a+', '#', 'a\u0000', '$SYS', 'x'.repeat(65), '\ud800']) {
      expect(() => topicFor({ ...box('smartlock'), hardwareId: bad }, 'unlock'), bad).toThrow('cannot be part');
      expect(() => upTopics({ ...box('loqey'), deviceId: bad })).toThrow('cannot be part');
      expect(() => downTopics({ ...box('loqey_serial'), serialNumber: bad })).toThrow('cannot be part');
    }
  });

  it('no string makes the parser throw or answer with a name of more than one level', () => {
    const anything = fc.oneof(fc.string({ unit: 'grapheme' }), fc.string({ unit: 'binary-ascii' }), fc.constantFrom('hw/status', '+/status', 'a\u0000/status', 'LQ-0001/status', '\ud800/status'));
    fc.assert(
      fc.property(anything, fc.constantFrom('', 'loqey/devices/', 'smartlock/', '/topic/'), (rest, start) => {
        const parsed = parseUpTopic(start + rest);
        for (const sign of ['/', '+', '#', '\u0000']) expect(parsed?.key ?? '').not.toContain(sign);
      }),
      { numRuns: 1000 },
    );
  });
});
