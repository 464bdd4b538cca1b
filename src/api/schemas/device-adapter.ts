import { Type } from 'typebox';
import { Closed, Id, Nullable, Time } from './common.ts';

/** Describes what a box sends; nothing here parses it, because its signature covers the bytes. */
export const SignedText = Type.Object(
  {},
  {
    title: 'SignedText',
    additionalProperties: true,
    description: 'A report of the device protocol: the very bytes that would be published over MQTT, signature included. At most 4,096.',
  },
);

export const DeviceCommand = Closed({ device_id: Id, command_id: Id });

export const DeviceCommands = Closed({
  commands: Type.Array(Closed({ payload: Type.String({ description: 'The signed text, byte for byte as it would come over MQTT.' }) })),
});

export const CommandsQuery = Closed({
  wait: Type.Optional(Type.Integer({ minimum: 0, maximum: 25, description: 'Seconds to wait for the first command. Default 20; 0 answers at once.' })),
});

const RejectedMessage = Closed(
  {
    received_at: Time,
    reason: Type.String({ description: 'What was wrong: `bad_signature`, `unsigned_from_pinned`, `foreign_topic`, `too_large`, …' }),
    via: Type.Enum(['mqtt', 'http']),
    topic: Nullable(Type.String()),
    field: Nullable(Type.String({ description: 'The member that is wrong, where one is.' })),
    size: Type.Integer({ description: 'Bytes of the payload.' }),
    sample: Type.String({ description: 'Its beginning, at most 200 characters, with everything that may be secret taken out.' }),
  },
  { title: 'RejectedMessage' },
);

const counts = Type.Array(Closed({ reason: Type.String(), count: Type.Integer(), last_at: Time }), { description: 'How many there were, by reason.' });

export const RejectedOfDevice = Closed({
  device_id: Id,
  counts,
  messages: Type.Array(RejectedMessage, { description: 'The last 20, newest first.' }),
});

export const RejectedOfStrangers = Closed({
  counts,
  messages: Type.Array(
    Closed({
      ...RejectedMessage.properties,
      claimed: Nullable(Type.String({ description: 'What it calls itself; nothing proves it.' })),
      address: Nullable(Type.String({ description: 'Where it came from, where that is known.' })),
    }),
    { description: 'The last 200, newest first.' },
  ),
});
