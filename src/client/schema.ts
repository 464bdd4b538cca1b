// Made from the description of the API by scripts/client.ts: `npm run client:print > src/client/schema.ts`.

export interface Schemas {
  readonly Error: {
    readonly error: 'validation_error' | 'unauthorized' | 'forbidden' | 'not_found' | 'method_not_allowed' | 'conflict' | 'payload_too_large' | 'unsupported_media_type' | 'unprocessable' | 'rate_limited' | 'internal_error' | 'unavailable';
    readonly message: string;
    readonly details?: Readonly<Record<string, string | number | boolean>>;
    readonly trace_id?: string;
  };
  /** Personal members are null once the account was erased. */
  readonly User: {
    readonly id: string;
    readonly email: string | null;
    readonly full_name: string | null;
    readonly first_name: string | null;
    readonly last_name: string | null;
    readonly state: string | null;
    readonly resident_state: string | null;
    readonly zip_code: string | null;
    readonly phone_number: string | null;
    readonly email_verified: boolean;
    readonly is_verified: boolean;
    readonly is_active: boolean;
    readonly role: 'super_admin' | 'admin' | 'support' | null;
    readonly permissions: readonly string[];
    readonly created_at: string;
  };
  readonly Session: {
    readonly id: string;
    /** The one that asks. */
    readonly current: boolean;
    readonly scope: 'user' | 'admin';
    readonly user_agent: string | null;
    readonly created_at: string;
    /** When its tokens were last renewed. */
    readonly last_seen_at: string;
  };
  /** `status` is the lock state as the box last reported it; `lifecycle_status` is where it stands in its life. */
  readonly Device: {
    readonly id: string;
    readonly serial_number: string;
    readonly name: string | null;
    readonly model: string;
    readonly status: 'locked' | 'unlocked' | 'unknown' | 'jammed' | 'error';
    readonly lock_status: 'locked' | 'unlocked' | 'unknown' | 'jammed' | 'error';
    readonly status_as_of: string | null;
    /** True when the box has not been heard of for 5 minutes: the state may have changed. */
    readonly is_stale: boolean;
    readonly door_open: boolean | null;
    readonly battery_level: number | null;
    readonly is_online: boolean;
    readonly last_heartbeat: string | null;
    readonly last_unlock: string | null;
    readonly lifecycle_status: 'available' | 'assigned' | 'active' | 'maintenance' | 'decommissioned';
    readonly assigned_at: string | null;
    readonly unlink_requested_at: string | null;
    readonly firmware_version: string | null;
    readonly mqtt_client_id: string;
    readonly location_latitude: number | null;
    readonly location_longitude: number | null;
    readonly location_address: string | null;
  };
  readonly DeviceStatus: {
    readonly device_id: string;
    readonly status: 'locked' | 'unlocked' | 'unknown' | 'jammed' | 'error';
    readonly lock_status: 'locked' | 'unlocked' | 'unknown' | 'jammed' | 'error';
    readonly status_as_of: string | null;
    /** True when the box has not been heard of for 5 minutes: the state may have changed. */
    readonly is_stale: boolean;
    readonly door_open: boolean | null;
    readonly battery_level: number | null;
    readonly is_online: boolean;
    readonly last_heartbeat: string | null;
    readonly last_unlock: string | null;
  };
  /** What the owner wants of a box, and how far the box is with it. */
  readonly DeviceSettings: {
    readonly device_id: string;
    readonly auto_lock_enabled: boolean;
    /** Seconds. */
    readonly auto_lock_delay: number;
    readonly silent_mode: boolean;
    readonly led_enabled: boolean;
    readonly heartbeat_seconds: number;
    /** `pending`: the box has not taken them over yet; it is sent them until it has. `refused`: it has, but for those named in `refused`. */
    readonly status: 'applied' | 'pending' | 'refused';
    /** What the box refused of them: there it keeps what it had. */
    readonly refused: readonly string[];
    /** What the box runs on, as far as it has said so. */
    readonly reported: {
      readonly auto_lock_enabled: boolean;
      /** Seconds. */
      readonly auto_lock_delay: number;
      readonly silent_mode: boolean;
      readonly led_enabled: boolean;
      readonly heartbeat_seconds: number;
    };
    readonly config_version: number;
    readonly applied_version: number | null;
    readonly changed_at: string | null;
    readonly applied_at: string | null;
  };
  readonly DeviceAlert: {
    /** `unexplained_opening`: it was opened, and nobody here asked for it. `clone_suspected`: two boxes seem to use its identity. */
    readonly alert: 'unexplained_opening' | 'clone_suspected' | 'tampered';
    readonly since: string;
  };
  readonly DeviceHealth: {
    readonly device_id: string;
    /** `offline`: whatever it said last may be otherwise by now. */
    readonly health: 'good' | 'attention' | 'offline';
    readonly problems: readonly {
      readonly code: 'offline' | 'never_heard' | 'low_battery' | 'jammed' | 'lock_error' | 'maintenance' | 'clone_suspected' | 'tampered' | 'unexplained_opening' | 'settings_refused';
      readonly message: string;
    }[];
    readonly is_online: boolean;
    readonly last_heartbeat: string | null;
    readonly lock_status: 'locked' | 'unlocked' | 'unknown' | 'jammed' | 'error';
    readonly battery_level: number | null;
    readonly signal_strength: number | null;
    readonly uptime: number | null;
    readonly firmware_version: string | null;
    readonly alerts: readonly Schemas['DeviceAlert'][];
  };
  readonly DeviceBattery: {
    readonly device_id: string;
    readonly battery_level: number | null;
    /** Below 20 %. */
    readonly is_low: boolean;
    readonly last_heartbeat: string | null;
    /** Newest first, since the box is yours. */
    readonly history: readonly {
      readonly battery_level: number;
      readonly timestamp: string;
    }[];
  };
  readonly AccessLink: {
    readonly id: string;
    readonly device_id: string;
    readonly name: string | null;
    readonly status: 'active' | 'expired' | 'used' | 'revoked';
    readonly is_active: boolean;
    readonly created_at: string;
    readonly starts_at: string | null;
    readonly expires_at: string;
    readonly max_uses: number;
    readonly usage_count: number;
    readonly current_uses: number;
    readonly used_at: string | null;
    readonly require_identity: boolean;
    readonly window: {
      /** A name of the IANA database, as `Europe/Istanbul`. */
      readonly time_zone: string;
      /** 1 = Monday. */
      readonly days: readonly number[];
      readonly from: string;
      readonly to: string;
    } | null;
    readonly access_url: string | null;
  };
  /** Who came is `unknown` where it was not said or is no longer kept. */
  readonly Delivery: {
    readonly id: string;
    readonly device_id: string;
    readonly link_id: string;
    readonly link_name: string | null;
    readonly status: 'requested' | 'dispatched' | 'published' | 'acknowledged' | 'opened' | 'failed' | 'unknown' | 'cancelled' | 'expired';
    readonly completed: boolean;
    readonly device_unlock_successful: boolean;
    readonly attempted_at: string;
    readonly unlocked_at: string | null;
    readonly completed_at: string | null;
    readonly unlocked_by: 'delivery_link';
    readonly delivery_person_name: string;
    readonly delivery_person_id: string;
    readonly courier_company: string;
    readonly delivery_person_phone: string | null;
    readonly delivery_notes: string | null;
    /** As on the receipt of the delivery person: six signs. */
    readonly reference: string;
  };
  /** What and where the box is, is shown only while the link is valid. */
  readonly LinkInfo: {
    readonly is_valid: boolean;
    readonly reason: 'expired' | 'used' | 'revoked' | 'not_yet_valid' | 'outside_hours' | 'device_in_maintenance' | 'device_unavailable' | null;
    readonly message: string;
    readonly expires_at: string;
    readonly starts_at: string | null;
    readonly already_used: boolean;
    readonly require_identity: boolean;
    readonly uses_left: number;
    readonly window: {
      /** A name of the IANA database, as `Europe/Istanbul`. */
      readonly time_zone: string;
      /** 1 = Monday. */
      readonly days: readonly number[];
      readonly from: string;
      readonly to: string;
    } | null;
    readonly device_id: string | null;
    readonly device_name: string | null;
    readonly device_location: string | null;
  };
  /** One request to open. Only `opened` says that the bolt moved. */
  readonly Command: {
    readonly command_id: string;
    readonly command: 'unlock';
    readonly device_id: string;
    readonly status: 'requested' | 'dispatched' | 'published' | 'acknowledged' | 'opened' | 'failed' | 'unknown' | 'cancelled' | 'expired';
    readonly success: boolean | null;
    readonly message: string;
    readonly reason: string | null;
    readonly use_returned: boolean;
    readonly caused_by: 'link' | 'owner' | 'admin' | 'schedule';
    readonly requested_at: string;
    readonly expires_at: string;
    readonly dispatched_at: string | null;
    readonly published_at: string | null;
    readonly acknowledged_at: string | null;
    readonly opened_at: string | null;
    readonly ended_at: string | null;
  };
  readonly Notification: {
    readonly id: string;
    readonly kind: string;
    readonly title: string;
    readonly text: string;
    readonly device_id: string | null;
    readonly link_id: string | null;
    readonly unlock_id: string | null;
    readonly created_at: string;
    readonly is_read: boolean;
    readonly read_at: string | null;
  };
  readonly NotificationSettings: {
    readonly language: 'en' | 'tr';
    readonly time_zone: string;
    /** Kind of notification → whether a mail is sent as well. */
    readonly mail: Readonly<Record<string, boolean>>;
  };
  /** A report of the device protocol: the very bytes that would be published over MQTT, signature included. At most 4,096. */
  readonly SignedText: Readonly<Record<string, unknown>>;
  readonly RejectedMessage: {
    readonly received_at: string;
    /** What was wrong: `bad_signature`, `unsigned_from_pinned`, `foreign_topic`, `too_large`, … */
    readonly reason: string;
    readonly via: 'mqtt' | 'http';
    readonly topic: string | null;
    readonly field: string | null;
    /** Bytes of the payload. */
    readonly size: number;
    /** Its beginning, at most 200 characters, with everything that may be secret taken out. */
    readonly sample: string;
  };
  readonly AdminDeviceRow: {
    readonly id: string;
    readonly serial_number: string;
    readonly name: string | null;
    readonly model: string;
    readonly status: 'locked' | 'unlocked' | 'unknown' | 'jammed' | 'error';
    readonly lock_status: 'locked' | 'unlocked' | 'unknown' | 'jammed' | 'error';
    readonly status_as_of: string | null;
    /** True when the box has not been heard of for 5 minutes: the state may have changed. */
    readonly is_stale: boolean;
    readonly door_open: boolean | null;
    readonly battery_level: number | null;
    readonly is_online: boolean;
    readonly last_heartbeat: string | null;
    readonly last_unlock: string | null;
    readonly lifecycle_status: 'available' | 'assigned' | 'active' | 'maintenance' | 'decommissioned';
    readonly assigned_at: string | null;
    readonly unlink_requested_at: string | null;
    readonly firmware_version: string | null;
    readonly mqtt_client_id: string;
    readonly location_latitude: number | null;
    readonly location_longitude: number | null;
    readonly location_address: string | null;
    readonly assigned_to: string | null;
    readonly owner_id: string | null;
    readonly registered_at: string;
    readonly protocol_level: number;
    readonly level0_access: 'full' | 'owner_and_admin' | 'read_only' | null;
    readonly unlink_reason: string | null;
  };
  readonly AdminDevice: {
    readonly id: string;
    readonly serial_number: string;
    readonly name: string | null;
    readonly model: string;
    readonly status: 'locked' | 'unlocked' | 'unknown' | 'jammed' | 'error';
    readonly lock_status: 'locked' | 'unlocked' | 'unknown' | 'jammed' | 'error';
    readonly status_as_of: string | null;
    /** True when the box has not been heard of for 5 minutes: the state may have changed. */
    readonly is_stale: boolean;
    readonly door_open: boolean | null;
    readonly battery_level: number | null;
    readonly is_online: boolean;
    readonly last_heartbeat: string | null;
    readonly last_unlock: string | null;
    readonly lifecycle_status: 'available' | 'assigned' | 'active' | 'maintenance' | 'decommissioned';
    readonly assigned_at: string | null;
    readonly unlink_requested_at: string | null;
    readonly firmware_version: string | null;
    readonly mqtt_client_id: string;
    readonly location_latitude: number | null;
    readonly location_longitude: number | null;
    readonly location_address: string | null;
    readonly assigned_to: string | null;
    readonly owner_id: string | null;
    readonly registered_at: string;
    readonly protocol_level: number;
    readonly level0_access: 'full' | 'owner_and_admin' | 'read_only' | null;
    readonly unlink_reason: string | null;
    readonly pin: string | null;
    readonly pin_expires_at: string | null;
    readonly last_activity: string | null;
    readonly profile: 'loqey' | 'loqey_serial' | 'smartlock' | 'transisttag';
    readonly key_version: number;
    readonly rotating_to: number | null;
    readonly keys_rotated_at: string | null;
    /** `pending`: the box has not taken them over yet; it is sent them until it has. `refused`: it has, but for those named in `refused`. */
    readonly settings_status: 'applied' | 'pending' | 'refused';
    readonly alerts: readonly Schemas['DeviceAlert'][];
  };
  readonly AdminUserRow: {
    readonly id: string;
    readonly email: string | null;
    readonly full_name: string | null;
    readonly first_name: string | null;
    readonly last_name: string | null;
    readonly state: string | null;
    readonly resident_state: string | null;
    readonly zip_code: string | null;
    readonly phone_number: string | null;
    readonly email_verified: boolean;
    readonly is_verified: boolean;
    readonly is_active: boolean;
    readonly role: 'super_admin' | 'admin' | 'support' | null;
    readonly permissions: readonly string[];
    readonly created_at: string;
    readonly device_count: number;
  };
  readonly AdminUser: {
    readonly id: string;
    readonly email: string | null;
    readonly full_name: string | null;
    readonly first_name: string | null;
    readonly last_name: string | null;
    readonly state: string | null;
    readonly resident_state: string | null;
    readonly zip_code: string | null;
    readonly phone_number: string | null;
    readonly email_verified: boolean;
    readonly is_verified: boolean;
    readonly is_active: boolean;
    readonly role: 'super_admin' | 'admin' | 'support' | null;
    readonly permissions: readonly string[];
    readonly created_at: string;
    readonly devices: readonly Schemas['Device'][];
    readonly access_links: readonly Schemas['AccessLink'][];
    readonly delivery_history: readonly Schemas['Delivery'][];
  };
  readonly PersonalData: {
    readonly format: 'loqey-personal-data-1';
    /** Member → what it holds. */
    readonly about: Readonly<Record<string, string>>;
    readonly generated_at: string;
    readonly account: Schemas['User'];
    readonly sessions: readonly Schemas['Session'][];
    readonly notification_settings: Schemas['NotificationSettings'];
    readonly devices: readonly Schemas['Device'][];
    readonly links: readonly Schemas['AccessLink'][];
    readonly deliveries: readonly Schemas['Delivery'][];
    readonly activity: readonly {
      /** Opaque; the same for the same entry. */
      readonly id: string;
      readonly device_id: string;
      readonly activity_type: 'device_control' | 'access_link' | 'user_action' | 'system_event';
      readonly action: string;
      readonly source: string;
      readonly description: string;
      readonly success: boolean;
      readonly user_id: string | null;
      readonly timestamp: string;
    }[];
    readonly notifications: readonly Schemas['Notification'][];
    readonly personal: readonly {
      readonly ref: string;
      readonly kind: string;
      readonly since: string;
      readonly fields: Readonly<Record<string, unknown>>;
    }[];
    readonly log: readonly {
      readonly timestamp: string;
      readonly action: string;
      readonly type: string;
      readonly outcome: 'accepted' | 'refused' | 'failed';
      readonly actor: {
        readonly kind: string;
        readonly id: string;
      };
      readonly source: string;
      readonly ip_address: string | null;
      readonly user_agent: string | null;
      readonly device_id: string | null;
      readonly link_id: string | null;
      readonly unlock_id: string | null;
      readonly event_id: string;
      readonly position: string;
      readonly details: Readonly<Record<string, unknown>>;
    }[];
    /** The last member: without it the file was cut off. */
    readonly complete: true;
  };
  /** What an erasure would do. Nothing has happened yet. */
  readonly ErasurePreview: {
    readonly user_id: string;
    readonly email: string | null;
    /** Taken off the account: their links end, their PINs too. */
    readonly devices: readonly {
      readonly id: string;
      readonly serial_number: string;
      readonly name: string | null;
    }[];
    readonly active_links: number;
    /** What couriers said there becomes unreadable with the rest. */
    readonly deliveries: number;
    readonly notifications: number;
    readonly goes: readonly string[];
    readonly stays: readonly string[];
    readonly backups: {
      readonly retention_days: number;
      readonly until: string;
      readonly statement: string;
    };
    /** Where to take a copy first. */
    readonly export_path: string;
    /** Members of the body that carries it out. */
    readonly needs: readonly string[];
  };
  readonly ErasureReceipt: {
    readonly format: 'loqey-erasure-receipt-1';
    readonly log_id: string;
    readonly subject: string;
    readonly requested_by: 'owner' | 'admin';
    readonly requested_at: string;
    readonly event: {
      readonly id: string;
      readonly stream: string;
      readonly revision: string;
      readonly position: string;
    };
    readonly completed_at: string;
    readonly destroyed: {
      readonly data_keys: number;
      readonly deliveries: number;
      readonly boxes: number;
      readonly statement: string;
    };
    readonly backups: {
      readonly retention_days: number;
      readonly until: string;
      readonly statement: string;
    };
    readonly kid: string;
    /** Ed25519, base64url, with the key of the heads of the log. */
    readonly signature: string;
  };
  readonly Erasure: {
    readonly erasure_id: string;
    readonly status: 'under_way' | 'completed';
    readonly message: string;
    readonly requested_at: string;
    /** Answers without an account: who was erased has none. */
    readonly status_url: string;
    readonly receipt: Schemas['ErasureReceipt'] | null;
  };
  readonly Administrator: {
    readonly id: string;
    readonly email: string | null;
    readonly full_name: string | null;
    /** Default `admin`. */
    readonly role: 'super_admin' | 'admin' | 'support';
    readonly permissions: readonly string[];
    readonly effective_permissions: readonly string[];
    readonly is_active: boolean;
    readonly last_login_at: string | null;
    readonly created_at: string;
  };
  readonly AuditEntry: {
    readonly timestamp: string;
    readonly recorded_at: string;
    /** Who did what to what, and why, in one sentence, with the names of now. */
    readonly summary: string;
    readonly action: string;
    readonly type: string;
    readonly outcome: 'accepted' | 'refused' | 'failed';
    readonly actor: {
      readonly kind: string;
      readonly id: string;
      readonly email: string | null;
    };
    readonly source: string;
    readonly ip_address: string | null;
    readonly user_agent: string | null;
    readonly user_id: string | null;
    readonly device_id: string | null;
    readonly serial_number: string | null;
    readonly link_id: string | null;
    readonly unlock_id: string | null;
    readonly event_id: string;
    readonly command_id: string;
    readonly correlation_id: string;
    readonly causation_id: string;
    readonly stream: string;
    /** A 64-bit number as text. */
    readonly revision: string;
    /** Opaque; `before` and `after` take it. */
    readonly position: string;
    readonly details: Readonly<Record<string, unknown>>;
  };
  /** A box, as its own stream had it. `reported` is what it had said of itself by then. */
  readonly DeviceThen: {
    readonly device_id: string;
    readonly serial_number: string;
    readonly profile: string;
    readonly lifecycle_status: 'available' | 'assigned' | 'active' | 'maintenance' | 'decommissioned';
    readonly decommissioned: boolean;
    readonly maintenance: boolean;
    /** Whether it was ever heard of. */
    readonly seen: boolean;
    readonly assignment: {
      readonly assignment_id: string;
      readonly user_id: string;
      readonly assigned_at: string;
      readonly suspended: boolean;
      readonly suspensions: number;
      readonly unlink_requested: boolean;
    } | null;
    readonly previous_owner_id: string | null;
    readonly pin: {
      readonly expires_at: string;
      readonly void: boolean;
      /** Wrong ones. */
      readonly guesses: number;
    };
    readonly unlocks: {
      readonly current: {
        readonly unlock_id: string;
        readonly cause: {
          readonly kind: 'link' | 'owner' | 'admin' | 'schedule';
          readonly id: string;
        };
        readonly assignment_id: string | null;
        readonly issued_at: string;
        readonly expires_at: string;
        readonly phase: 'requested' | 'dispatched' | 'published' | 'acknowledged';
        readonly dispatch: {
          readonly at: string;
          readonly level: number;
          readonly seq: number | null;
          readonly key_version: number | null;
          readonly journal_id: string | null;
          readonly report_seq: number | null;
        } | null;
      } | null;
      /** Openings whose outcome was not known. */
      readonly unknown: readonly string[];
      readonly last_seq: number;
    };
    readonly reported: {
      readonly lock_status: 'locked' | 'unlocked' | 'unknown' | 'jammed' | 'error';
      readonly lock_status_at: string | null;
      readonly online: boolean;
      readonly battery: number | null;
      readonly door_open: boolean | null;
      readonly parcel_present: boolean | null;
      readonly tampered: boolean;
      readonly firmware_version: string | null;
      readonly capabilities: readonly string[];
      readonly protocols: readonly number[];
      readonly clone_suspected_at: string | null;
    };
    readonly settings: {
      readonly desired: {
        readonly auto_lock_enabled: boolean;
        /** Seconds. */
        readonly auto_lock_delay: number;
        readonly silent_mode: boolean;
        readonly led_enabled: boolean;
        readonly heartbeat_seconds: number;
      };
      readonly version: number;
      readonly applied: number | null;
    };
    readonly protocol: {
      readonly level: number;
      readonly level0_deliveries: boolean;
    };
    readonly keys: {
      readonly version: number;
      readonly rotating_to: number | null;
      readonly due: boolean;
    };
  };
  readonly PastDevice: {
    /** What is here was so then. It may be otherwise now. */
    readonly past: true;
    /** The instant that was asked for; by a position, that of the event there. */
    readonly as_of: string;
    /** The last event of the prefix. */
    readonly ends_with: {
      readonly event_id: string;
      readonly type: string;
      readonly at: string;
      readonly position: string;
    };
    readonly device_id: string;
    readonly owner_email: string | null;
    readonly state: Schemas['DeviceThen'];
  };
  readonly EventRef: {
    readonly event_id: string;
    readonly type: string;
    readonly at: string;
    readonly actor: {
      readonly kind: string;
      readonly id: string;
    };
    /** Opaque; `as_of`, `from` and `to` take it. */
    readonly position: string;
  };
  readonly Difference: {
    /** What is here was so then. It may be otherwise now. */
    readonly past: true;
    readonly id: string;
    readonly from: {
      readonly as_of: string;
      readonly exists: boolean;
      readonly ends_with: {
        readonly event_id: string;
        readonly type: string;
        readonly at: string;
        readonly position: string;
      } | null;
    };
    readonly to: {
      readonly as_of: string;
      readonly exists: boolean;
      readonly ends_with: {
        readonly event_id: string;
        readonly type: string;
        readonly at: string;
        readonly position: string;
      } | null;
    };
    /** `event` changed the fact last; null where no event did, but the time that passed. */
    readonly changes: readonly {
      /** JSON pointer into the state. Replaced one after another in the first state, they make the second. */
      readonly path: string;
      readonly before: unknown;
      readonly after: unknown;
      readonly event: Schemas['EventRef'] | null;
    }[];
  };
  readonly LinkThen: {
    readonly link_id: string;
    readonly user_id: string;
    readonly assignment_id: string;
    readonly suspensions: number;
    readonly starts_at: string | null;
    readonly expires_at: string;
    readonly max_uses: number;
    readonly require_identity: boolean;
    readonly window: {
      readonly time_zone: string;
      readonly days: readonly number[];
      readonly from: string;
      readonly to: string;
    } | null;
    /** That were not proven unopened by then, one under way included. */
    readonly uses: number;
    readonly uses_left: number;
    readonly used_at: string | null;
    readonly revoked_at: string | null;
    readonly deleted: boolean;
    readonly expiry_recorded: boolean;
    /** By the clock of then. `void`: its owner lost the box or was suspended. */
    readonly status: 'active' | 'expired' | 'used' | 'revoked' | 'void';
  };
  readonly PastLink: {
    /** What is here was so then. It may be otherwise now. */
    readonly past: true;
    /** The instant that was asked for; by a position, that of the event there. */
    readonly as_of: string;
    /** The last event of the prefix. */
    readonly ends_with: {
      readonly event_id: string;
      readonly type: string;
      readonly at: string;
      readonly position: string;
    };
    readonly link_id: string;
    readonly device_id: string;
    readonly owner_email: string | null;
    readonly state: Schemas['LinkThen'];
  };
  readonly UserThen: {
    readonly user_id: string;
    readonly suspended: boolean;
    readonly erased: boolean;
    readonly email_verified: boolean;
    /** Since when the profile was what it was. What it said is not in states of the past. */
    readonly profile_at: string;
    readonly admin: {
      readonly role: string;
      readonly permissions: readonly string[];
    } | null;
    readonly logins: {
      readonly refusals: readonly string[];
      readonly wrong_in_a_row: number;
    };
    readonly sessions: readonly {
      readonly session_id: string;
      readonly scope: string;
    }[];
  };
  readonly PastUser: {
    /** What is here was so then. It may be otherwise now. */
    readonly past: true;
    /** The instant that was asked for; by a position, that of the event there. */
    readonly as_of: string;
    /** The last event of the prefix. */
    readonly ends_with: {
      readonly event_id: string;
      readonly type: string;
      readonly at: string;
      readonly position: string;
    };
    readonly user_id: string;
    readonly email: string | null;
    readonly state: Schemas['UserThen'];
  };
  /** An opening, as far as it had come. */
  readonly DeliveryThen: {
    readonly unlock_id: string;
    readonly cause: {
      readonly kind: 'link' | 'owner' | 'admin' | 'schedule';
      readonly id: string;
    };
    readonly assignment_id: string | null;
    readonly status: 'requested' | 'dispatched' | 'published' | 'acknowledged' | 'opened' | 'failed' | 'unknown' | 'cancelled' | 'expired';
    readonly reason: string | null;
    readonly evidence: string | null;
    readonly use_returned: boolean;
    readonly requested_at: string;
    readonly expires_at: string;
    readonly dispatched_at: string | null;
    readonly published_at: string | null;
    readonly acknowledged_at: string | null;
    readonly opened_at: string | null;
    readonly ended_at: string | null;
  };
  readonly PastDelivery: {
    /** What is here was so then. It may be otherwise now. */
    readonly past: true;
    /** The instant that was asked for; by a position, that of the event there. */
    readonly as_of: string;
    /** The last event of the prefix. */
    readonly ends_with: {
      readonly event_id: string;
      readonly type: string;
      readonly at: string;
      readonly position: string;
    };
    readonly unlock_id: string;
    readonly device_id: string;
    readonly state: Schemas['DeliveryThen'];
  };
  readonly Why: {
    /** What is here was so then. It may be otherwise now. */
    readonly past: true;
    /** The instant that was asked for; by a position, that of the event there. */
    readonly as_of: string;
    /** The last event of the prefix. */
    readonly ends_with: {
      readonly event_id: string;
      readonly type: string;
      readonly at: string;
      readonly position: string;
    };
    readonly device_id: string;
    readonly link_id: string | null;
    readonly unlock_id: string | null;
    readonly asked_by: {
      readonly kind: 'link' | 'owner' | 'admin' | 'schedule';
      readonly id: string;
    };
    /** `joined`: the same person’s opening is under way, and this one would be that one. */
    readonly outcome: 'allowed' | 'joined' | 'refused';
    readonly reason: string | null;
    readonly message: string;
    readonly details: Readonly<Record<string, string | number | boolean>>;
    readonly decided_by: {
      readonly event: Schemas['EventRef'];
      /** What the answer to the same question was before that event: `allowed`, `joined`, or the code of a refusal. */
      readonly before: string;
    } | null;
    /** What the rule looked at, each with the event that made it so. */
    readonly facts: readonly {
      /** JSON pointer into the state of the box; what begins with `/link/` is the link. */
      readonly path: string;
      readonly value: unknown;
      readonly event: Schemas['EventRef'] | null;
    }[];
    readonly recorded: {
      readonly outcome: 'allowed' | 'refused';
      readonly reason: string | null;
      /** Whether the rules, asked again on the state of then, answer what was answered. */
      readonly agrees: boolean;
      readonly event: Schemas['EventRef'];
    } | null;
    /** What is not in the log, and was taken to be so. */
    readonly assumed: readonly string[];
  };
  readonly TraceStep: {
    /** `request`: the HTTP request came in. `asked`: it was allowed, and takes a use of the link. `dispatched`: the claim, before the first byte leaves. `published`: the broker has it. `acknowledged`: the box has it. `confirmed`: the bolt moved. `delivered`: the courier’s delivery is complete. */
    readonly step: 'request' | 'asked' | 'dispatched' | 'published' | 'acknowledged' | 'confirmed' | 'delivered';
    /** `untold`: it came further, so this was, but nobody said when. `waiting`: what comes next. `broken`: here it ended. */
    readonly state: 'done' | 'untold' | 'waiting' | 'broken' | 'not_reached';
    readonly at: string | null;
    readonly offset_ms: number | null;
    readonly latency_ms: number | null;
    readonly event_id: string | null;
    readonly note: string | null;
  };
  readonly SignedHead: {
    /** Events of the log that the tree covers. */
    readonly size: number;
    /** SHA-256, lower hex. */
    readonly root: string;
    readonly time: string;
    /** Which key signed it. */
    readonly kid: string;
    /** Ed25519, base64url, over `loqey-audit-head-1\n<logId>\n<size>\n<root>\n<time>\n`. */
    readonly signature: string;
  };
  readonly ProofKeys: {
    readonly log_id: string;
    /** A JWK set; the newest key is the last. */
    readonly keys: readonly {
      /** The first 16 hex digits of the SHA-256 of the key's 32 bytes. */
      readonly kid: string;
      readonly kty: 'OKP';
      readonly crv: 'Ed25519';
      readonly alg: 'EdDSA';
      readonly use: 'sig';
      readonly x: string;
      /** The same key for programs that read PEM. */
      readonly pem: string;
    }[];
  };
  readonly EventProof: {
    readonly logId: string;
    readonly event: {
      readonly stream: string;
      readonly revision: string;
      readonly eventId: string;
      readonly type: string;
      /** As it is in the log: what is personal is sealed. */
      readonly data: Readonly<Record<string, unknown>>;
      /** As it is in the log: what is personal is sealed. */
      readonly metadata: Readonly<Record<string, unknown>>;
    };
    readonly index: number;
    /** Events of the log that the tree covers. */
    readonly size: number;
    /** RFC 9162 §2.1.3. */
    readonly path: readonly string[];
    readonly head: Schemas['SignedHead'];
  };
  readonly ConsistencyProof: {
    readonly logId: string;
    readonly from: Schemas['SignedHead'];
    readonly to: Schemas['SignedHead'];
    /** RFC 9162 §2.1.4. */
    readonly path: readonly string[];
  };
  readonly Job: {
    readonly name: string;
    readonly summary: string;
    readonly schedule: string | null;
    readonly state: 'idle' | 'waiting' | 'running' | 'retrying' | 'failed';
    readonly next_run: string | null;
    readonly last_run: {
      readonly started_at: string;
      readonly finished_at: string | null;
      readonly duration_ms: number | null;
      readonly error: string | null;
    } | null;
    readonly result: Readonly<Record<string, number | boolean | string>> | null;
    readonly succeeded_at: string | null;
    readonly runs: number;
    readonly failures: number;
    readonly failures_in_a_row: number;
    /** Runs that wait, for their time or for another try. */
    readonly waiting: number;
    /** Runs that failed with every try, kept to be looked at. */
    readonly given_up: number;
  };
  /** The event that it cannot take. */
  readonly Poison: {
    /** Of the log. Opaque, and as one is. */
    readonly position: string;
    readonly event_id: string;
    readonly type: string;
    readonly stream: string;
    readonly message: string;
  };
  /** Both generations at the same position of the log. */
  readonly Comparison: {
    readonly equal: boolean;
    /** Of the log. Opaque, and as one is. */
    readonly position: string;
    readonly live: {
      readonly version: number;
      readonly generation: number;
    };
    readonly next: {
      readonly version: number;
      readonly generation: number;
    };
    readonly tables: readonly {
      readonly table: string;
      readonly equal: boolean;
      readonly live: {
        readonly rows: number;
        /** Over the common columns of every row; empty where there is nothing to compare with. */
        readonly hash: string;
      } | null;
      readonly next: {
        readonly rows: number;
        /** Over the common columns of every row; empty where there is nothing to compare with. */
        readonly hash: string;
      } | null;
      /** Columns that the new one has not, or in another type: not compared. */
      readonly only_live: readonly string[];
      /** Columns that the live one has not: not compared. */
      readonly only_next: readonly string[];
      /** Rows that differ. */
      readonly differing: number;
      /** The first of them, by key. Never what is in them. */
      readonly rows: readonly {
        readonly key: string;
        readonly kind: 'missing' | 'added' | 'changed';
        readonly columns: readonly string[];
      }[];
    }[];
  };
  readonly ProjectionRun: {
    readonly id: string;
    readonly action: 'rebuild' | 'compare' | 'switch' | 'rollback';
    readonly projections: readonly string[];
    readonly state: 'waiting' | 'running' | 'done' | 'failed' | 'cancelled';
    /** asked: of the server; local: by a command line; upgrade: by a program with another version. */
    readonly kind: 'asked' | 'local' | 'upgrade';
    readonly asked_by: string;
    readonly asked_at: string;
    readonly started_at: string | null;
    readonly finished_at: string | null;
    readonly progress: {
      readonly phase: 'load' | 'indexes' | 'compare' | 'switch';
      /** From positions of the log. */
      readonly percent: number;
      /** Read so far. */
      readonly events: number;
      readonly events_total: number;
      readonly per_second: number;
      readonly seconds_left: number | null;
    } | null;
    readonly results: readonly {
      readonly name: string;
      readonly version: number;
      readonly generation: number;
      /** ready: it waits. equal: as the live one. different: it waits, and is not switched to unless differences are accepted. failed: everything is as it was. */
      readonly outcome: 'switched' | 'ready' | 'equal' | 'different' | 'failed';
      readonly events: number;
      readonly seconds: number;
      readonly problem: Schemas['Poison'] | null;
      readonly comparison: Schemas['Comparison'] | null;
    }[] | null;
    readonly error: string | null;
  };
  readonly Projection: {
    readonly name: string;
    readonly group: 'live' | 'background';
    /** stopped: before an event that it cannot take. missing: not built yet. outdated: this program has another version, which is built beside the one that is read. */
    readonly state: 'running' | 'catching_up' | 'stopped' | 'missing' | 'outdated';
    readonly position: string | null;
    /** Positions of the log that it has not seen. */
    readonly behind: number;
    /** Age of the oldest event that it has not applied. */
    readonly lag_seconds: number;
    readonly last_event_at: string | null;
    readonly version: number | null;
    /** Of this program. */
    readonly program_version: number;
    readonly generation: number | null;
    /** Of all generations. */
    readonly size_bytes: number;
    readonly error: Schemas['Poison'] | null;
    readonly generations: readonly {
      readonly generation: number;
      readonly version: number;
      /** ready: it waits to be switched to. retired: it was replaced, and can be gone back to where it is resumable. */
      readonly state: 'building' | 'ready' | 'active' | 'retired';
      readonly position: string | null;
      readonly since: string;
      readonly until: string | null;
      readonly resumable: boolean;
      readonly size_bytes: number;
    }[];
    readonly run: Schemas['ProjectionRun'] | null;
  };
}

/** What each operation takes and answers. */
export interface Operations {
  /** Open an account: POST /api/v1/auth/register */
  readonly register: {
    readonly body: {
      readonly email: string;
      readonly password: string;
      readonly password_confirm?: string;
      readonly full_name?: string;
      readonly first_name?: string;
      readonly last_name?: string;
      readonly state?: string;
      readonly resident_state?: string;
      readonly zip_code?: string;
      readonly phone_number?: string;
    };
    readonly replies: {
      201: {
        readonly access_token: string;
        readonly refresh_token: string;
        readonly token_type: 'bearer';
        /** Seconds that the access token lives. */
        readonly expires_in: number;
        readonly tokens: {
          readonly access: string;
          readonly refresh: string;
        };
        readonly user: Schemas['User'];
      };
    };
  };
  /** Sign in: POST /api/v1/auth/login */
  readonly login: {
    readonly body: {
      readonly email: string;
      readonly password: string;
    };
    readonly replies: {
      200: {
        readonly access_token: string;
        readonly refresh_token: string;
        readonly token_type: 'bearer';
        /** Seconds that the access token lives. */
        readonly expires_in: number;
        readonly tokens: {
          readonly access: string;
          readonly refresh: string;
        };
        readonly user: Schemas['User'];
      };
    };
  };
  /** Sign in as an administrator: POST /api/v1/admin/auth/login */
  readonly adminLogin: {
    readonly body: {
      readonly email: string;
      readonly password: string;
    };
    readonly replies: {
      200: {
        readonly access_token: string;
        readonly refresh_token: string;
        readonly token_type: 'bearer';
        /** Seconds that the access token lives. */
        readonly expires_in: number;
        readonly tokens: {
          readonly access: string;
          readonly refresh: string;
        };
        readonly user: Schemas['User'];
      };
    };
  };
  /** Exchange a refresh token for new tokens: POST /api/v1/auth/refresh */
  readonly refresh: {
    readonly body: {
      readonly refresh_token?: string;
      readonly refresh?: string;
    };
    readonly replies: {
      200: {
        readonly access_token: string;
        readonly refresh_token: string;
        readonly token_type: 'bearer';
        /** Seconds that the access token lives. */
        readonly expires_in: number;
        readonly tokens: {
          readonly access: string;
          readonly refresh: string;
        };
        readonly access: string;
      };
    };
  };
  /** End this session: its tokens are no longer good: POST /api/v1/auth/logout */
  readonly logout: {
    readonly body?: {
      readonly refresh?: string;
      readonly refresh_token?: string;
    };
    readonly replies: {
      200: {
        readonly message: string;
      };
    };
  };
  /** Who is signed in: GET /api/v1/auth/me */
  readonly me: {
    readonly replies: {
      200: Schemas['User'];
    };
  };
  /** Name, address and telephone of the account: GET /api/v1/users/profile */
  readonly profile: {
    readonly replies: {
      200: Schemas['User'];
    };
  };
  /** Change name, address or telephone; what is not named stays: PUT /api/v1/users/profile */
  readonly changeProfile: {
    readonly body: {
      readonly full_name?: string;
      readonly first_name?: string;
      readonly last_name?: string;
      readonly state?: string;
      readonly resident_state?: string;
      readonly zip_code?: string | null;
      readonly phone_number?: string | null;
    };
    readonly replies: {
      200: Schemas['User'];
    };
  };
  /** Change the password: every session ends, and the answer begins a new one: POST /api/v1/users/change-password */
  readonly changePassword: {
    readonly body: {
      readonly old_password: string;
      readonly new_password: string;
      readonly new_password_confirm?: string;
    };
    readonly replies: {
      200: {
        readonly message: string;
        readonly access_token: string;
        readonly refresh_token: string;
        readonly token_type: 'bearer';
        /** Seconds that the access token lives. */
        readonly expires_in: number;
        readonly tokens: {
          readonly access: string;
          readonly refresh: string;
        };
      };
    };
  };
  /** Where the account is signed in: GET /api/v1/auth/sessions */
  readonly sessions: {
    readonly query?: {
      /** Default 50. */
      readonly limit?: number;
      readonly offset?: number;
      /** Where to go on: `X-Next-Cursor` of the answer before. */
      readonly cursor?: string;
      /** From 1. The answer is then an envelope with counts. */
      readonly page?: number;
      /** Default 20. */
      readonly page_size?: number;
    };
    readonly replies: {
      200: readonly Schemas['Session'][] | {
        readonly count: number;
        readonly next: string | null;
        readonly previous: string | null;
        readonly total_pages: number;
        readonly current_page: number;
        readonly results: readonly Schemas['Session'][];
      };
    };
  };
  /** Sign out elsewhere: the tokens of that session are no longer good: DELETE /api/v1/auth/sessions/{session_id} */
  readonly endSession: {
    readonly params: {
      readonly session_id: string;
    };
    readonly replies: {
      200: {
        readonly message: string;
      };
    };
  };
  /** The boxes of the signed-in owner: GET /api/v1/devices/my-devices */
  readonly myDevices: {
    readonly query?: {
      /** Part of name, serial number, model or address. */
      readonly search?: string;
      readonly status?: 'locked' | 'unlocked' | 'unknown' | 'jammed' | 'error';
      readonly lifecycle_status?: 'available' | 'assigned' | 'active' | 'maintenance' | 'decommissioned';
      readonly is_online?: boolean;
      /** Below 20 %. */
      readonly low_battery?: boolean;
      /** Default 100. */
      readonly limit?: number;
      readonly offset?: number;
      /** Where to go on: `X-Next-Cursor` of the answer before. */
      readonly cursor?: string;
      /** From 1. The answer is then an envelope with counts. */
      readonly page?: number;
      /** Default 20. */
      readonly page_size?: number;
    };
    readonly replies: {
      200: readonly Schemas['Device'][] | {
        readonly count: number;
        readonly next: string | null;
        readonly previous: string | null;
        readonly total_pages: number;
        readonly current_page: number;
        readonly results: readonly Schemas['Device'][];
      };
    };
  };
  /** Claim a box with its serial number and PIN: POST /api/v1/devices/assign */
  readonly assignDevice: {
    readonly body: {
      readonly serial_number: string;
      readonly pin: string;
    };
    readonly replies: {
      200: {
        readonly message: string;
        readonly device: Schemas['Device'];
      };
    };
  };
  /** One box: GET /api/v1/devices/{device_id} */
  readonly getDevice: {
    readonly params: {
      readonly device_id: string;
    };
    readonly replies: {
      200: Schemas['Device'];
    };
  };
  /** Rename a box or say where it stands: PUT /api/v1/devices/{device_id} */
  readonly changeDevice: {
    readonly params: {
      readonly device_id: string;
    };
    readonly body: {
      readonly name?: string;
      readonly location_latitude?: number;
      readonly location_longitude?: number;
      readonly location_address?: string;
    };
    readonly replies: {
      200: {
        readonly message: string;
        readonly device: Schemas['Device'];
      };
    };
  };
  /** Give a box up: its links and its PIN end with it: DELETE /api/v1/devices/{device_id}/unlink */
  readonly unlinkDevice: {
    readonly params: {
      readonly device_id: string;
    };
    readonly body?: {
      readonly reason?: string;
    };
    readonly replies: {
      200: {
        readonly message: string;
        /** An opening that was under way and could not be stopped any more. */
        readonly in_flight?: {
          readonly command_id: string;
          readonly expires_at: string;
        };
      };
    };
  };
  /** Ask support to unlink a box: POST /api/v1/devices/{device_id}/unlink-request */
  readonly requestUnlink: {
    readonly params: {
      readonly device_id: string;
    };
    readonly body?: {
      readonly reason?: string;
    };
    readonly replies: {
      202: {
        readonly message: string;
      };
    };
  };
  /** What a box last reported, and when: GET /api/v1/devices/{device_id}/status */
  readonly deviceStatus: {
    readonly params: {
      readonly device_id: string;
    };
    readonly replies: {
      200: Schemas['DeviceStatus'];
    };
  };
  /** A box says how it is: POST /api/v1/devices/{device_id}/status */
  readonly reportStatus: {
    readonly params: {
      readonly device_id: string;
    };
    readonly body: Schemas['SignedText'];
    readonly replies: {
      202: {
        readonly message: string;
      };
    };
  };
  /** Ask a box to open: POST /api/v1/devices/{device_id}/unlock */
  readonly unlockDevice: {
    readonly params: {
      readonly device_id: string;
    };
    readonly body?: Readonly<Record<string, never>>;
    readonly replies: {
      200: {
        readonly message: string;
        readonly status: 'unlocking';
        readonly success: boolean;
        readonly device_id: string;
        readonly command_id: string;
        readonly expires_at: string;
        readonly status_url: string;
      };
    };
  };
  /** Refused: no reply of the backend moves a bolt shut: PUT /api/v1/devices/{device_id}/lock */
  readonly lockDevice: {
    readonly params: {
      readonly device_id: string;
    };
    readonly body?: Readonly<Record<string, never>>;
    readonly replies: {
    };
  };
  /** What a box is to do by itself, and whether it does: GET /api/v1/devices/{device_id}/settings */
  readonly deviceSettings: {
    readonly params: {
      readonly device_id: string;
    };
    readonly replies: {
      200: Schemas['DeviceSettings'];
    };
  };
  /** Change some of them; the box is told until it has taken them over: PUT /api/v1/devices/{device_id}/settings */
  readonly changeDeviceSettings: {
    readonly params: {
      readonly device_id: string;
    };
    readonly body: {
      readonly auto_lock_enabled?: boolean;
      /** Seconds. */
      readonly auto_lock_delay?: number;
      readonly silent_mode?: boolean;
      readonly led_enabled?: boolean;
      readonly heartbeat_seconds?: number;
    };
    readonly replies: {
      200: Schemas['DeviceSettings'];
    };
  };
  /** What happened with all boxes, also with those that were given up, while they were yours: GET /api/v1/activities */
  readonly activities: {
    readonly query?: {
      readonly device_id?: string;
      readonly activity_type?: 'device_control' | 'access_link' | 'user_action' | 'system_event';
      readonly action?: string;
      readonly source?: 'mobile_app' | 'web_dashboard' | 'delivery_link' | 'scheduled_task' | 'mqtt_device' | 'http_device' | 'system';
      readonly success?: boolean;
      readonly date_from?: string;
      readonly date_to?: string;
      readonly search?: string;
      /** Default 50. */
      readonly limit?: number;
      readonly offset?: number;
      /** Where to go on: `X-Next-Cursor` of the answer before. */
      readonly cursor?: string;
      /** From 1. The answer is then an envelope with counts. */
      readonly page?: number;
      /** Default 20. */
      readonly page_size?: number;
    };
    readonly replies: {
      200: readonly {
        /** Opaque; the same for the same entry. */
        readonly id: string;
        readonly device_id: string;
        readonly activity_type: 'device_control' | 'access_link' | 'user_action' | 'system_event';
        readonly action: string;
        readonly source: string;
        readonly description: string;
        readonly success: boolean;
        readonly user_id: string | null;
        readonly timestamp: string;
      }[] | {
        readonly count: number;
        readonly next: string | null;
        readonly previous: string | null;
        readonly total_pages: number;
        readonly current_page: number;
        readonly results: readonly {
          /** Opaque; the same for the same entry. */
          readonly id: string;
          readonly device_id: string;
          readonly activity_type: 'device_control' | 'access_link' | 'user_action' | 'system_event';
          readonly action: string;
          readonly source: string;
          readonly description: string;
          readonly success: boolean;
          readonly user_id: string | null;
          readonly timestamp: string;
        }[];
      };
    };
  };
  /** What happened with a box: GET /api/v1/devices/{device_id}/activity */
  readonly deviceActivity: {
    readonly params: {
      readonly device_id: string;
    };
    readonly query?: {
      readonly activity_type?: 'device_control' | 'access_link' | 'user_action' | 'system_event';
      readonly action?: string;
      readonly source?: 'mobile_app' | 'web_dashboard' | 'delivery_link' | 'scheduled_task' | 'mqtt_device' | 'http_device' | 'system';
      readonly success?: boolean;
      readonly date_from?: string;
      readonly date_to?: string;
      readonly search?: string;
      /** Default 50. */
      readonly limit?: number;
      readonly offset?: number;
      /** Where to go on: `X-Next-Cursor` of the answer before. */
      readonly cursor?: string;
      /** From 1. The answer is then an envelope with counts. */
      readonly page?: number;
      /** Default 20. */
      readonly page_size?: number;
    };
    readonly replies: {
      200: readonly {
        /** Opaque; the same for the same entry. */
        readonly id: string;
        readonly device_id: string;
        readonly activity_type: 'device_control' | 'access_link' | 'user_action' | 'system_event';
        readonly action: string;
        readonly source: string;
        readonly description: string;
        readonly success: boolean;
        readonly user_id: string | null;
        readonly timestamp: string;
      }[] | {
        readonly count: number;
        readonly next: string | null;
        readonly previous: string | null;
        readonly total_pages: number;
        readonly current_page: number;
        readonly results: readonly {
          /** Opaque; the same for the same entry. */
          readonly id: string;
          readonly device_id: string;
          readonly activity_type: 'device_control' | 'access_link' | 'user_action' | 'system_event';
          readonly action: string;
          readonly source: string;
          readonly description: string;
          readonly success: boolean;
          readonly user_id: string | null;
          readonly timestamp: string;
        }[];
      };
    };
  };
  /** How a box is, and what about it wants attention: GET /api/v1/devices/{device_id}/health */
  readonly deviceHealth: {
    readonly params: {
      readonly device_id: string;
    };
    readonly replies: {
      200: Schemas['DeviceHealth'];
    };
  };
  /** The battery of a box, and how it went down: GET /api/v1/devices/{device_id}/battery */
  readonly deviceBattery: {
    readonly params: {
      readonly device_id: string;
    };
    readonly query?: {
      /** Of the history. Default 50. */
      readonly limit?: number;
    };
    readonly replies: {
      200: Schemas['DeviceBattery'];
    };
  };
  /** A box says its battery's level: POST /api/v1/devices/{device_id}/battery */
  readonly reportBattery: {
    readonly params: {
      readonly device_id: string;
    };
    readonly body: Schemas['SignedText'];
    readonly replies: {
      202: {
        readonly message: string;
      };
    };
  };
  /** The access links of the signed-in owner: GET /api/v1/access/my-links */
  readonly myLinks: {
    readonly query?: {
      readonly device_id?: string;
      /** Those that work, or those that do not any more. */
      readonly active?: boolean;
      readonly status?: 'active' | 'expired' | 'used' | 'revoked';
      readonly search?: string;
      /** Default 100. */
      readonly limit?: number;
      readonly offset?: number;
      /** Where to go on: `X-Next-Cursor` of the answer before. */
      readonly cursor?: string;
      /** From 1. The answer is then an envelope with counts. */
      readonly page?: number;
      /** Default 20. */
      readonly page_size?: number;
    };
    readonly replies: {
      200: readonly Schemas['AccessLink'][] | {
        readonly count: number;
        readonly next: string | null;
        readonly previous: string | null;
        readonly total_pages: number;
        readonly current_page: number;
        readonly results: readonly Schemas['AccessLink'][];
      };
    };
  };
  /** The access links of one box: GET /api/v1/links/device/{device_id} */
  readonly linksOfDevice: {
    readonly params: {
      readonly device_id: string;
    };
    readonly query?: {
      /** Those that work, or those that do not any more. */
      readonly active?: boolean;
      readonly status?: 'active' | 'expired' | 'used' | 'revoked';
      readonly search?: string;
      /** Default 100. */
      readonly limit?: number;
      readonly offset?: number;
      /** Where to go on: `X-Next-Cursor` of the answer before. */
      readonly cursor?: string;
      /** From 1. The answer is then an envelope with counts. */
      readonly page?: number;
      /** Default 20. */
      readonly page_size?: number;
    };
    readonly replies: {
      200: readonly Schemas['AccessLink'][] | {
        readonly count: number;
        readonly next: string | null;
        readonly previous: string | null;
        readonly total_pages: number;
        readonly current_page: number;
        readonly results: readonly Schemas['AccessLink'][];
      };
    };
  };
  /** Make a link that opens a box: POST /api/v1/access/create-link */
  readonly createLink: {
    readonly body: {
      readonly device_id: string;
      readonly expires_at?: string;
      readonly max_uses?: number;
      readonly name?: string;
      readonly starts_at?: string;
      readonly require_identity?: boolean;
      /** Hours of each week. One that ends before it begins runs over midnight, into the day after the one it is named for. */
      readonly window?: {
        /** A name of the IANA database, as `Europe/Istanbul`. */
        readonly time_zone: string;
        /** 1 = Monday. */
        readonly days: readonly number[];
        readonly from: string;
        readonly to: string;
      };
    };
    readonly replies: {
      200: {
        readonly message: string;
        /** The token of the link: whoever has it can open the box. */
        readonly link_id: string;
        readonly id: string;
        readonly device_id: string;
        readonly access_url: string;
        readonly expires_at: string;
        readonly max_uses: number;
      };
    };
  };
  /** One access link: GET /api/v1/access/links/{link_id} */
  readonly getLink: {
    readonly params: {
      readonly link_id: string;
    };
    readonly replies: {
      200: Schemas['AccessLink'];
    };
  };
  /** Change a link that still works: PUT /api/v1/access/links/{link_id} */
  readonly updateLink: {
    readonly params: {
      readonly link_id: string;
    };
    readonly body: {
      readonly expires_at?: string;
      readonly max_uses?: number;
      readonly name?: string;
      readonly require_identity?: boolean;
      readonly window?: {
        /** A name of the IANA database, as `Europe/Istanbul`. */
        readonly time_zone: string;
        /** 1 = Monday. */
        readonly days: readonly number[];
        readonly from: string;
        readonly to: string;
      } | null;
    };
    readonly replies: {
      200: {
        readonly message: string;
        readonly link: Schemas['AccessLink'];
      };
    };
  };
  /** End a link and hide it from the lists: DELETE /api/v1/access/links/{link_id} */
  readonly deleteLink: {
    readonly params: {
      readonly link_id: string;
    };
    readonly replies: {
      200: {
        readonly message: string;
        /** An opening that was under way and could not be stopped any more. */
        readonly in_flight?: {
          readonly command_id: string;
          readonly expires_at: string;
        };
      };
    };
  };
  /** End a link: POST /api/v1/access/links/{link_id}/deactivate */
  readonly deactivateLink: {
    readonly params: {
      readonly link_id: string;
    };
    readonly body?: Readonly<Record<string, never>>;
    readonly replies: {
      200: {
        readonly message: string;
        /** An opening that was under way and could not be stopped any more. */
        readonly in_flight?: {
          readonly command_id: string;
          readonly expires_at: string;
        };
      };
    };
  };
  /** A QR code of the address of a link that works, as SVG or PNG: GET /api/v1/access/links/{link_id}/qr */
  readonly linkImage: {
    readonly params: {
      readonly link_id: string;
    };
    readonly query?: {
      readonly format?: 'svg' | 'png';
    };
    readonly replies: {
      200: string;
    };
  };
  /** Openings by access links of the signed-in owner: GET /api/v1/deliveries/my-deliveries */
  readonly myDeliveries: {
    readonly query?: {
      readonly device_id?: string;
      readonly link_id?: string;
      readonly outcome?: 'opened' | 'not_opened' | 'unknown' | 'under_way';
      /** Those where the bolt moved, or the others. */
      readonly completed?: boolean;
      readonly date_from?: string;
      readonly date_to?: string;
      /** Part of the courier's name, company or number, or of the link's name. */
      readonly search?: string;
      /** Default 20. */
      readonly limit?: number;
      readonly offset?: number;
      /** Where to go on: `X-Next-Cursor` of the answer before. */
      readonly cursor?: string;
      /** From 1. The answer is then an envelope with counts. */
      readonly page?: number;
      /** Default 20. */
      readonly page_size?: number;
    };
    readonly replies: {
      200: readonly Schemas['Delivery'][] | {
        readonly count: number;
        readonly next: string | null;
        readonly previous: string | null;
        readonly total_pages: number;
        readonly current_page: number;
        readonly results: readonly Schemas['Delivery'][];
      };
    };
  };
  /** One delivery: GET /api/v1/deliveries/{delivery_id} */
  readonly getDelivery: {
    readonly params: {
      readonly delivery_id: string;
    };
    readonly replies: {
      200: Schemas['Delivery'];
    };
  };
  /** Whether a link works, and for which box: GET /api/v1/delivery/link/{link_token}/info */
  readonly linkInfo: {
    readonly params: {
      readonly link_token: string;
    };
    readonly replies: {
      200: Schemas['LinkInfo'];
    };
  };
  /** Open the box and deliver: POST /api/v1/delivery/link/{link_token}/unlock */
  readonly linkUnlock: {
    readonly params: {
      readonly link_token: string;
    };
    readonly body?: {
      readonly delivery_person_name?: string;
      readonly delivery_person_id?: string;
      readonly courier_company?: string;
      readonly delivery_person_phone?: string;
      readonly delivery_notes?: string;
    };
    readonly replies: {
      200: {
        readonly message: string;
        readonly status: 'opened';
        readonly device_id: string;
        readonly unlocked_at: string;
        readonly delivery_complete: boolean;
        readonly command_id: string;
      };
      202: {
        readonly message: string;
        readonly status: 'unlocking';
        readonly delivery_complete: boolean;
        readonly command_id: string;
        readonly expires_at: string;
        readonly status_url: string;
      };
    };
  };
  /** How far the opening has come: GET /api/v1/delivery/link/{link_token}/status */
  readonly linkStatus: {
    readonly params: {
      readonly link_token: string;
    };
    readonly query?: {
      readonly command_id?: string;
    };
    readonly replies: {
      200: {
        readonly link_status: 'active' | 'expired' | 'used' | 'revoked';
        readonly device_status: 'locked' | 'unlocked' | 'unknown' | 'jammed' | 'error';
        readonly unlocked_at: string | null;
        readonly delivery_complete: boolean;
        readonly command: {
          readonly command_id: string;
          readonly status: 'requested' | 'dispatched' | 'published' | 'acknowledged' | 'opened' | 'failed' | 'unknown' | 'cancelled' | 'expired';
          readonly message: string;
          readonly heading: string;
          readonly text: string;
          readonly use_returned: boolean;
          readonly expires_at: string;
        } | null;
      };
    };
  };
  /** How far a request to open has come: GET /api/v1/commands/{command_id} */
  readonly getCommand: {
    readonly params: {
      readonly command_id: string;
    };
    readonly replies: {
      200: Schemas['Command'];
    };
  };
  /** What the signed-in account was told, newest first: GET /api/v1/notifications */
  readonly notifications: {
    readonly query?: {
      readonly unread?: boolean;
      /** Default 20. */
      readonly limit?: number;
      readonly offset?: number;
      /** Where to go on: `X-Next-Cursor` of the answer before. */
      readonly cursor?: string;
      /** From 1. The answer is then an envelope with counts. */
      readonly page?: number;
      /** Default 20. */
      readonly page_size?: number;
    };
    readonly replies: {
      200: readonly Schemas['Notification'][] | {
        readonly count: number;
        readonly next: string | null;
        readonly previous: string | null;
        readonly total_pages: number;
        readonly current_page: number;
        readonly results: readonly Schemas['Notification'][];
      };
    };
  };
  /** Mark one as read: POST /api/v1/notifications/{notification_id}/read */
  readonly readNotification: {
    readonly params: {
      readonly notification_id: string;
    };
    readonly body?: Readonly<Record<string, never>>;
    readonly replies: {
      200: {
        readonly message: string;
      };
    };
  };
  /** Mark all as read: POST /api/v1/notifications/read-all */
  readonly readAllNotifications: {
    readonly body?: Readonly<Record<string, never>>;
    readonly replies: {
      200: {
        readonly message: string;
        readonly count: number;
      };
    };
  };
  /** In which language and for what mails are sent: GET /api/v1/notifications/settings */
  readonly notificationSettings: {
    readonly replies: {
      200: Schemas['NotificationSettings'];
    };
  };
  /** Change them; what is not named stays. Mails that protect the account cannot be switched off: PUT /api/v1/notifications/settings */
  readonly changeNotificationSettings: {
    readonly body: {
      readonly language?: 'en' | 'tr';
      readonly time_zone?: string;
      /** Kind of notification → whether a mail is sent as well. */
      readonly mail?: Readonly<Record<string, boolean>>;
    };
    readonly replies: {
      200: Schemas['NotificationSettings'];
    };
  };
  /** A box says that it is there: POST /api/v1/devices/{device_id}/heartbeat */
  readonly reportHeartbeat: {
    readonly params: {
      readonly device_id: string;
    };
    readonly body: Schemas['SignedText'];
    readonly replies: {
      202: {
        readonly message: string;
      };
    };
  };
  /** A box answers a command: POST /api/v1/devices/{device_id}/responses */
  readonly reportResponse: {
    readonly params: {
      readonly device_id: string;
    };
    readonly body: Schemas['SignedText'];
    readonly replies: {
      202: {
        readonly message: string;
      };
    };
  };
  /** A box fetches its commands; waits for the first one: GET /api/v1/devices/{device_id}/commands */
  readonly deviceCommands: {
    readonly params: {
      readonly device_id: string;
    };
    readonly query?: {
      /** Seconds to wait for the first command. Default 20; 0 answers at once. */
      readonly wait?: number;
    };
    readonly replies: {
      200: {
        readonly commands: readonly {
          /** The signed text, byte for byte as it would come over MQTT. */
          readonly payload: string;
        }[];
      };
    };
  };
  /** A box has a command, and gives its signed answer where it has one already: PUT /api/v1/devices/{device_id}/commands/{command_id} */
  readonly acknowledgeCommand: {
    readonly params: {
      readonly device_id: string;
      readonly command_id: string;
    };
    readonly body?: Schemas['SignedText'];
    readonly replies: {
      202: {
        readonly message: string;
      };
    };
  };
  /** The last messages of a box that had no effect, and why: GET /api/v1/admin/devices/{device_id}/rejected-messages */
  readonly rejectedOfDevice: {
    readonly params: {
      readonly device_id: string;
    };
    readonly replies: {
      200: {
        readonly device_id: string;
        /** How many there were, by reason. */
        readonly counts: readonly {
          readonly reason: string;
          readonly count: number;
          readonly last_at: string;
        }[];
        /** The last 20, newest first. */
        readonly messages: readonly Schemas['RejectedMessage'][];
      };
    };
  };
  /** The last messages and connections of nobody that is known here: GET /api/v1/admin/rejected-messages */
  readonly rejectedOfStrangers: {
    readonly replies: {
      200: {
        /** How many there were, by reason. */
        readonly counts: readonly {
          readonly reason: string;
          readonly count: number;
          readonly last_at: string;
        }[];
        /** The last 200, newest first. */
        readonly messages: readonly {
          readonly received_at: string;
          /** What was wrong: `bad_signature`, `unsigned_from_pinned`, `foreign_topic`, `too_large`, … */
          readonly reason: string;
          readonly via: 'mqtt' | 'http';
          readonly topic: string | null;
          readonly field: string | null;
          /** Bytes of the payload. */
          readonly size: number;
          /** Its beginning, at most 200 characters, with everything that may be secret taken out. */
          readonly sample: string;
          readonly claimed: string | null;
          readonly address: string | null;
        }[];
      };
    };
  };
  /** Every box and whose it is: GET /api/v1/admin/devices */
  readonly adminDevices: {
    readonly query?: {
      readonly status?: 'all' | 'available' | 'assigned' | 'active' | 'maintenance' | 'decommissioned';
      readonly assigned?: boolean;
      /** Heard of within five minutes. */
      readonly online?: boolean;
      /** Below 20 %. */
      readonly low_battery?: true;
      /** Percent. */
      readonly battery_below?: number;
      readonly model?: string;
      readonly firmware?: string;
      /** Whose owner asked support to take it off the account. */
      readonly unlink_requested?: boolean;
      /** A part of its serial number, id, name or address, or of its owner’s name or e-mail address. Of what very many are called the total is `at_least`. */
      readonly search?: string;
      /** Default 50. */
      readonly limit?: number;
      readonly offset?: number;
      /** Where to go on: `X-Next-Cursor` of the answer before. */
      readonly cursor?: string;
      /** From 1. The answer is then an envelope with counts. */
      readonly page?: number;
      /** Default 20. */
      readonly page_size?: number;
    };
    readonly replies: {
      200: readonly Schemas['AdminDeviceRow'][] | {
        readonly count: number;
        readonly next: string | null;
        readonly previous: string | null;
        readonly total_pages: number;
        readonly current_page: number;
        readonly results: readonly Schemas['AdminDeviceRow'][];
      };
    };
  };
  /** Register a new box; the answer holds what is flashed into it, once: POST /api/v1/admin/devices/register */
  readonly registerDevice: {
    readonly body: {
      readonly serial_number: string;
      readonly device_model?: string;
      readonly profile?: 'loqey' | 'loqey_serial' | 'smartlock' | 'transisttag';
      readonly hardware_id?: string;
    };
    readonly replies: {
      201: {
        readonly message: string;
        readonly device_id: string;
        readonly serial_number: string;
        readonly pin: string;
        /** What is flashed into the box. Answered once and never again. */
        readonly provisioning: {
          readonly protocol: 1;
          readonly profile: 'loqey' | 'loqey_serial' | 'smartlock' | 'transisttag';
          readonly topic_prefix: string;
          readonly mqtt: {
            readonly url: string;
            readonly client_id: string;
            readonly username: string;
            readonly password: string;
          };
          readonly device_key: string;
          readonly key_version: number;
          readonly ca_pem?: string;
        };
      };
    };
  };
  /** Register the boxes of a CSV file; the answer tells row by row what became of each, and its secrets once: POST /api/v1/admin/devices/import */
  readonly importDevices: {
    readonly query?: {
      /** Says what would be done, and does nothing. */
      readonly dry_run?: boolean;
      /** Of the answer. Default `json`. */
      readonly format?: 'json' | 'csv';
    };
    readonly body: string;
    readonly replies: {
      200: {
        readonly dry_run: boolean;
        readonly rows: readonly {
          /** The line of the file, from 1. */
          readonly row: number;
          readonly serial_number: string;
          readonly result: 'registered' | 'would_register' | 'exists' | 'duplicate' | 'invalid' | 'failed' | 'not_tried';
          readonly device_id?: string;
          readonly pin?: string;
          /** What is flashed into the box. Answered once and never again. */
          readonly provisioning?: {
            readonly protocol: 1;
            readonly profile: 'loqey' | 'loqey_serial' | 'smartlock' | 'transisttag';
            readonly topic_prefix: string;
            readonly mqtt: {
              readonly url: string;
              readonly client_id: string;
              readonly username: string;
              readonly password: string;
            };
            readonly device_key: string;
            readonly key_version: number;
            readonly ca_pem?: string;
          };
          readonly message?: string;
          readonly details?: Readonly<Record<string, string>>;
        }[];
        readonly summary: {
          readonly rows: number;
          readonly registered: number;
          readonly would_register: number;
          readonly exists: number;
          readonly duplicate: number;
          readonly invalid: number;
          readonly failed: number;
          readonly not_tried: number;
        };
      };
    };
  };
  /** One box with its PIN; whoever sees the PIN is recorded: GET /api/v1/admin/devices/{device_id} */
  readonly adminDevice: {
    readonly params: {
      readonly device_id: string;
    };
    readonly replies: {
      200: Schemas['AdminDevice'];
    };
  };
  /** Issue a new PIN; the previous one stops working at once: PUT /api/v1/admin/devices/{device_id}/regenerate-pin */
  readonly regeneratePin: {
    readonly params: {
      readonly device_id: string;
    };
    readonly body?: Readonly<Record<string, never>>;
    readonly replies: {
      200: {
        readonly message: string;
        readonly device_id: string;
        readonly new_pin: string;
      };
    };
  };
  /** Unlink a box from its owner: DELETE /api/v1/admin/devices/{device_id}/unlink */
  readonly adminUnlink: {
    readonly params: {
      readonly device_id: string;
    };
    readonly body?: {
      /** Kept in the audit log, sealed for the person whose box or account it is: with that person’s erasure it can no longer be read. Of a box that nobody has it stays. */
      readonly reason?: string;
    };
    readonly replies: {
      200: {
        readonly message: string;
        /** An opening that was under way and could not be stopped any more. */
        readonly in_flight?: {
          readonly command_id: string;
          readonly expires_at: string;
        };
      };
    };
  };
  /** Open a box in an emergency: POST /api/v1/admin/devices/{device_id}/unlock */
  readonly emergencyUnlock: {
    readonly params: {
      readonly device_id: string;
    };
    readonly body?: {
      /** Kept in the audit log, sealed for the person whose box or account it is: with that person’s erasure it can no longer be read. Of a box that nobody has it stays. */
      readonly reason?: string;
    };
    readonly replies: {
      200: {
        readonly message: string;
        readonly device_id: string;
        readonly command_id: string;
        readonly expires_at: string;
        readonly status_url: string;
      };
    };
  };
  /** Let couriers open a box of old firmware, which cannot prove what it did: POST /api/v1/admin/devices/{device_id}/accept-deliveries */
  readonly acceptDeliveries: {
    readonly params: {
      readonly device_id: string;
    };
    readonly body: {
      /** Kept in the audit log, sealed for the person whose box or account it is: with that person’s erasure it can no longer be read. Of a box that nobody has it stays. */
      readonly reason: string;
    };
    readonly replies: {
      200: {
        readonly message: string;
        readonly device_id: string;
        readonly level0_access: 'full' | 'owner_and_admin' | 'read_only' | null;
      };
    };
  };
  /** Take a box out of service; couriers are refused: POST /api/v1/admin/devices/{device_id}/maintenance */
  readonly startMaintenance: {
    readonly params: {
      readonly device_id: string;
    };
    readonly body?: {
      /** Kept in the audit log, sealed for the person whose box or account it is: with that person’s erasure it can no longer be read. Of a box that nobody has it stays. */
      readonly reason?: string;
    };
    readonly replies: {
      200: {
        readonly message: string;
        readonly device_id: string;
        readonly lifecycle_status: 'available' | 'assigned' | 'active' | 'maintenance' | 'decommissioned';
        /** An opening that was under way and could not be stopped any more. */
        readonly in_flight?: {
          readonly command_id: string;
          readonly expires_at: string;
        };
      };
    };
  };
  /** Put a box back into service: DELETE /api/v1/admin/devices/{device_id}/maintenance */
  readonly endMaintenance: {
    readonly params: {
      readonly device_id: string;
    };
    readonly body?: {
      /** Kept in the audit log, sealed for the person whose box or account it is: with that person’s erasure it can no longer be read. Of a box that nobody has it stays. */
      readonly reason?: string;
    };
    readonly replies: {
      200: {
        readonly message: string;
        readonly device_id: string;
        readonly lifecycle_status: 'available' | 'assigned' | 'active' | 'maintenance' | 'decommissioned';
        /** An opening that was under way and could not be stopped any more. */
        readonly in_flight?: {
          readonly command_id: string;
          readonly expires_at: string;
        };
      };
    };
  };
  /** Take a box out of service for good; it never opens again: POST /api/v1/admin/devices/{device_id}/decommission */
  readonly decommission: {
    readonly params: {
      readonly device_id: string;
    };
    readonly body?: {
      /** Kept in the audit log, sealed for the person whose box or account it is: with that person’s erasure it can no longer be read. Of a box that nobody has it stays. */
      readonly reason?: string;
    };
    readonly replies: {
      200: {
        readonly message: string;
        readonly device_id: string;
        readonly lifecycle_status: 'available' | 'assigned' | 'active' | 'maintenance' | 'decommissioned';
        /** An opening that was under way and could not be stopped any more. */
        readonly in_flight?: {
          readonly command_id: string;
          readonly expires_at: string;
        };
      };
    };
  };
  /** Give a box a new key; the old one ends when the box signs with the new one: POST /api/v1/admin/devices/{device_id}/rotate-keys */
  readonly rotateKeys: {
    readonly params: {
      readonly device_id: string;
    };
    readonly body?: Readonly<Record<string, never>>;
    readonly replies: {
      202: {
        readonly message: string;
        readonly device_id: string;
        /** The one that it signs with. */
        readonly key_version: number;
        readonly rotating_to: number | null;
      };
    };
  };
  /** What a box is flashed with anew, once; every earlier key ends at once: POST /api/v1/admin/devices/{device_id}/reprovision */
  readonly reprovisionDevice: {
    readonly params: {
      readonly device_id: string;
    };
    readonly body: {
      /** Kept in the audit log, sealed for the person whose box or account it is: with that person’s erasure it can no longer be read. Of a box that nobody has it stays. */
      readonly reason: string;
    };
    readonly replies: {
      200: {
        readonly message: string;
        readonly device_id: string;
        /** What is flashed into the box. Answered once and never again. */
        readonly provisioning: {
          readonly protocol: 1;
          readonly profile: 'loqey' | 'loqey_serial' | 'smartlock' | 'transisttag';
          readonly topic_prefix: string;
          readonly mqtt: {
            readonly url: string;
            readonly client_id: string;
            readonly username: string;
            readonly password: string;
          };
          readonly device_key: string;
          readonly key_version: number;
          readonly ca_pem?: string;
        };
      };
    };
  };
  /** Every account: GET /api/v1/admin/users */
  readonly adminUsers: {
    readonly query?: {
      readonly active?: boolean;
      readonly search?: string;
      /** Default 50. */
      readonly limit?: number;
      readonly offset?: number;
      /** Where to go on: `X-Next-Cursor` of the answer before. */
      readonly cursor?: string;
      /** From 1. The answer is then an envelope with counts. */
      readonly page?: number;
      /** Default 20. */
      readonly page_size?: number;
    };
    readonly replies: {
      200: readonly Schemas['AdminUserRow'][] | {
        readonly count: number;
        readonly next: string | null;
        readonly previous: string | null;
        readonly total_pages: number;
        readonly current_page: number;
        readonly results: readonly Schemas['AdminUserRow'][];
      };
    };
  };
  /** One account with its boxes, links and deliveries: GET /api/v1/admin/users/{user_id} */
  readonly adminUser: {
    readonly params: {
      readonly user_id: string;
    };
    readonly replies: {
      200: Schemas['AdminUser'];
    };
  };
  /** Suspend an account: its sessions end and its links stop: PUT /api/v1/admin/users/{user_id}/suspend */
  readonly suspendUser: {
    readonly params: {
      readonly user_id: string;
    };
    readonly body?: {
      /** Kept in the audit log, sealed for the person whose box or account it is: with that person’s erasure it can no longer be read. Of a box that nobody has it stays. */
      readonly reason?: string;
    };
    readonly replies: {
      200: {
        readonly message: string;
        /** Openings that were under way and could not be stopped any more. */
        readonly unlocks_in_flight?: readonly {
          readonly device_id: string;
          readonly command_id: string;
          readonly expires_at: string;
        }[];
      };
    };
  };
  /** End a suspension; links that it ended stay ended: PUT /api/v1/admin/users/{user_id}/activate */
  readonly activateUser: {
    readonly params: {
      readonly user_id: string;
    };
    readonly body?: Readonly<Record<string, never>>;
    readonly replies: {
      200: {
        readonly message: string;
      };
    };
  };
  /** Everything that is kept of the signed-in account, as one JSON file: GET /api/v1/auth/me/export */
  readonly exportMe: {
    readonly replies: {
      200: Schemas['PersonalData'];
    };
  };
  /** What erasing the signed-in account would do; nothing happens yet: GET /api/v1/auth/me/erase */
  readonly previewErasure: {
    readonly replies: {
      200: Schemas['ErasurePreview'];
    };
  };
  /** Erase the signed-in account for ever: it cannot be undone: POST /api/v1/auth/me/erase */
  readonly eraseMe: {
    readonly body: {
      readonly password: string;
      /** The e-mail address of the account, typed once more. */
      readonly confirm: string;
    };
    readonly replies: {
      200: Schemas['Erasure'];
      202: Schemas['Erasure'];
    };
  };
  /** How far an erasure is, and its receipt: GET /api/v1/erasures/{erasure_id} */
  readonly erasure: {
    readonly params: {
      readonly erasure_id: string;
    };
    readonly replies: {
      200: Schemas['Erasure'];
    };
  };
  /** Everything that is kept of an account, as one JSON file: GET /api/v1/admin/users/{user_id}/export */
  readonly exportUser: {
    readonly params: {
      readonly user_id: string;
    };
    readonly replies: {
      200: Schemas['PersonalData'];
    };
  };
  /** What erasing an account would do; nothing happens yet: GET /api/v1/admin/users/{user_id}/erase */
  readonly previewUserErasure: {
    readonly params: {
      readonly user_id: string;
    };
    readonly replies: {
      200: Schemas['ErasurePreview'];
    };
  };
  /** Erase an account for ever: it cannot be undone. Again: answers how the first one went: POST /api/v1/admin/users/{user_id}/erase */
  readonly eraseUser: {
    readonly params: {
      readonly user_id: string;
    };
    readonly body: {
      /** The e-mail address of the account, typed once more. */
      readonly confirm: string;
      /** Why. Never a text: a name in it would outlive the erasure. */
      readonly ground: 'requested' | 'no_longer_needed' | 'unlawful' | 'legal_obligation';
    };
    readonly replies: {
      200: Schemas['Erasure'];
      202: Schemas['Erasure'];
    };
  };
  /** Who administers, and with which rights: GET /api/v1/admin/admins */
  readonly admins: {
    readonly query?: {
      readonly search?: string;
      /** Default 50. */
      readonly limit?: number;
      readonly offset?: number;
      /** Where to go on: `X-Next-Cursor` of the answer before. */
      readonly cursor?: string;
      /** From 1. The answer is then an envelope with counts. */
      readonly page?: number;
      /** Default 20. */
      readonly page_size?: number;
    };
    readonly replies: {
      200: readonly Schemas['Administrator'][] | {
        readonly count: number;
        readonly next: string | null;
        readonly previous: string | null;
        readonly total_pages: number;
        readonly current_page: number;
        readonly results: readonly Schemas['Administrator'][];
      };
    };
  };
  /** Make an administrator with an account of its own; the password is shown once: POST /api/v1/admin/admins */
  readonly createAdmin: {
    readonly body: {
      readonly email: string;
      readonly full_name?: string;
      readonly password?: string;
      /** Default `admin`. */
      readonly role?: 'super_admin' | 'admin' | 'support';
      /** Rights besides those that the role brings. */
      readonly permissions?: readonly ('devices:read' | 'devices:register' | 'devices:pin' | 'devices:keys' | 'devices:unlink' | 'devices:unlock' | 'devices:lifecycle' | 'users:read' | 'users:suspend' | 'users:export' | 'users:erase' | 'audit:read' | 'analytics:read' | 'system:read' | 'jobs:run' | 'projections:manage' | 'admins:manage')[];
    };
    readonly replies: {
      201: {
        readonly id: string;
        readonly email: string | null;
        readonly full_name: string | null;
        /** Default `admin`. */
        readonly role: 'super_admin' | 'admin' | 'support';
        readonly permissions: readonly string[];
        readonly effective_permissions: readonly string[];
        readonly is_active: boolean;
        readonly last_login_at: string | null;
        readonly created_at: string;
        readonly password: string | null;
      };
    };
  };
  /** What each role brings: GET /api/v1/admin/roles */
  readonly adminRoles: {
    readonly replies: {
      200: readonly {
        /** Default `admin`. */
        readonly role: 'super_admin' | 'admin' | 'support';
        readonly permissions: readonly string[];
      }[];
    };
  };
  /** One administrator: GET /api/v1/admin/admins/{user_id} */
  readonly admin: {
    readonly params: {
      readonly user_id: string;
    };
    readonly replies: {
      200: Schemas['Administrator'];
    };
  };
  /** Give an account a role, or change its role and rights; felt by its tokens and sockets at once: PUT /api/v1/admin/admins/{user_id} */
  readonly changeAdmin: {
    readonly params: {
      readonly user_id: string;
    };
    readonly body: {
      /** Default `admin`. */
      readonly role?: 'super_admin' | 'admin' | 'support';
      /** Rights besides those that the role brings. */
      readonly permissions?: readonly ('devices:read' | 'devices:register' | 'devices:pin' | 'devices:keys' | 'devices:unlink' | 'devices:unlock' | 'devices:lifecycle' | 'users:read' | 'users:suspend' | 'users:export' | 'users:erase' | 'audit:read' | 'analytics:read' | 'system:read' | 'jobs:run' | 'projections:manage' | 'admins:manage')[];
    };
    readonly replies: {
      200: Schemas['Administrator'];
    };
  };
  /** Take the role away; the account stays, its administrative sessions end: DELETE /api/v1/admin/admins/{user_id} */
  readonly revokeAdmin: {
    readonly params: {
      readonly user_id: string;
    };
    readonly replies: {
      200: {
        readonly message: string;
      };
    };
  };
  /** Who did what, on what, when, and because of what: GET /api/v1/admin/logs/audit */
  readonly auditLog: {
    readonly query?: {
      /** Words, all of which an entry must have: of its sentence, action, reasons and codes; names and addresses of people and boxes, serial numbers, IP addresses; ids, or at least 6 signs of their beginning. */
      readonly q?: string;
      readonly action?: string;
      /** Event types, separated by commas. */
      readonly type?: string;
      /** Who acted: id of an account, link or device, or a name of the system. */
      readonly actor?: string;
      readonly actor_kind?: 'user' | 'admin' | 'courier' | 'device' | 'system';
      readonly source?: 'mobile_app' | 'web_dashboard' | 'delivery_link' | 'scheduled_task' | 'mqtt_device' | 'http_device' | 'system';
      readonly ip?: string;
      readonly device_id?: string;
      readonly user_id?: string;
      readonly link_id?: string;
      readonly unlock_id?: string;
      readonly correlation_id?: string;
      readonly outcome?: 'accepted' | 'refused' | 'failed';
      readonly date_from?: string;
      readonly date_to?: string;
      readonly before?: string;
      readonly after?: string;
      /** Names of links and couriers, and what administrators said, are looked through for `q` from the newest on, 10,000 of each at once. Where there are more the answer says down to when, in `Loqey-Search-Since`: given here, the 10,000 before that are looked through, and every entry about them is found. */
      readonly named_before?: string;
      /** Default 100. */
      readonly limit?: number;
      readonly offset?: number;
      /** Where to go on: `X-Next-Cursor` of the answer before. */
      readonly cursor?: string;
      /** From 1. The answer is then an envelope with counts. */
      readonly page?: number;
      /** Default 20. */
      readonly page_size?: number;
    };
    readonly replies: {
      200: readonly Schemas['AuditEntry'][] | {
        readonly count: number;
        readonly next: string | null;
        readonly previous: string | null;
        readonly total_pages: number;
        readonly current_page: number;
        readonly results: readonly Schemas['AuditEntry'][];
      };
    };
  };
  /** The audit log as a file, oldest first, up to what it had when it was asked for; for spreadsheets (CSV) or programs (NDJSON): GET /api/v1/admin/logs/audit/export */
  readonly exportAuditLog: {
    readonly query: {
      /** `csv` has the mark of UTF-8 at its beginning, and an apostrophe before what a spreadsheet would take for a formula; `ndjson` has one entry of the list on each line. */
      readonly format: 'csv' | 'ndjson';
      /** Words, all of which an entry must have: of its sentence, action, reasons and codes; names and addresses of people and boxes, serial numbers, IP addresses; ids, or at least 6 signs of their beginning. */
      readonly q?: string;
      readonly action?: string;
      /** Event types, separated by commas. */
      readonly type?: string;
      /** Who acted: id of an account, link or device, or a name of the system. */
      readonly actor?: string;
      readonly actor_kind?: 'user' | 'admin' | 'courier' | 'device' | 'system';
      readonly source?: 'mobile_app' | 'web_dashboard' | 'delivery_link' | 'scheduled_task' | 'mqtt_device' | 'http_device' | 'system';
      readonly ip?: string;
      readonly device_id?: string;
      readonly user_id?: string;
      readonly link_id?: string;
      readonly unlock_id?: string;
      readonly correlation_id?: string;
      readonly outcome?: 'accepted' | 'refused' | 'failed';
      readonly date_from?: string;
      readonly date_to?: string;
      readonly before?: string;
      readonly after?: string;
      /** Names of links and couriers, and what administrators said, are looked through for `q` from the newest on, 10,000 of each at once. Where there are more the answer says down to when, in `Loqey-Search-Since`: given here, the 10,000 before that are looked through, and every entry about them is found. */
      readonly named_before?: string;
    };
    readonly replies: {
      200: string;
    };
  };
  /** One entry of the audit log with what led to it and what came of it: GET /api/v1/admin/logs/audit/{event_id} */
  readonly auditEntry: {
    readonly params: {
      readonly event_id: string;
    };
    readonly replies: {
      200: {
        readonly entry: Schemas['AuditEntry'];
        /** What led to it, from the first on: each was caused by the one before. */
        readonly causes: readonly Schemas['AuditEntry'][];
        /** Everything that came of the same request or report, in the order of the log; at most 1,000. */
        readonly chain: readonly Schemas['AuditEntry'][];
      };
    };
  };
  /** A box as it was at an instant or a position: GET /api/v1/admin/devices/{device_id}/state */
  readonly deviceThen: {
    readonly params: {
      readonly device_id: string;
    };
    readonly query?: {
      /** An instant in ISO-8601 with a time zone, not in the future, or a position of the log (opaque). The state is that of all events of this thing up to the last one, in the order of the log, that happened at that instant or before, or that is at that position or before. Default: now. */
      readonly as_of?: string;
    };
    readonly replies: {
      200: Schemas['PastDevice'];
    };
  };
  /** What changed of a box between two instants or positions, and by which events: GET /api/v1/admin/devices/{device_id}/diff */
  readonly deviceDifference: {
    readonly params: {
      readonly device_id: string;
    };
    readonly query: {
      /** An instant in ISO-8601 with a time zone, not in the future, or a position of the log (opaque). The state is that of all events of this thing up to the last one, in the order of the log, that happened at that instant or before, or that is at that position or before. */
      readonly from: string;
      /** An instant in ISO-8601 with a time zone, not in the future, or a position of the log (opaque). The state is that of all events of this thing up to the last one, in the order of the log, that happened at that instant or before, or that is at that position or before. Default: now. */
      readonly to?: string;
    };
    readonly replies: {
      200: Schemas['Difference'];
    };
  };
  /** A link as it was at an instant or a position: GET /api/v1/admin/links/{link_id}/state */
  readonly linkThen: {
    readonly params: {
      readonly link_id: string;
    };
    readonly query?: {
      /** An instant in ISO-8601 with a time zone, not in the future, or a position of the log (opaque). The state is that of all events of this thing up to the last one, in the order of the log, that happened at that instant or before, or that is at that position or before. Default: now. */
      readonly as_of?: string;
    };
    readonly replies: {
      200: Schemas['PastLink'];
    };
  };
  /** What changed of a link between two instants or positions, and by which events: GET /api/v1/admin/links/{link_id}/diff */
  readonly linkDifference: {
    readonly params: {
      readonly link_id: string;
    };
    readonly query: {
      /** An instant in ISO-8601 with a time zone, not in the future, or a position of the log (opaque). The state is that of all events of this thing up to the last one, in the order of the log, that happened at that instant or before, or that is at that position or before. */
      readonly from: string;
      /** An instant in ISO-8601 with a time zone, not in the future, or a position of the log (opaque). The state is that of all events of this thing up to the last one, in the order of the log, that happened at that instant or before, or that is at that position or before. Default: now. */
      readonly to?: string;
    };
    readonly replies: {
      200: Schemas['Difference'];
    };
  };
  /** An account as it was at an instant or a position: GET /api/v1/admin/users/{user_id}/state */
  readonly userThen: {
    readonly params: {
      readonly user_id: string;
    };
    readonly query?: {
      /** An instant in ISO-8601 with a time zone, not in the future, or a position of the log (opaque). The state is that of all events of this thing up to the last one, in the order of the log, that happened at that instant or before, or that is at that position or before. Default: now. */
      readonly as_of?: string;
    };
    readonly replies: {
      200: Schemas['PastUser'];
    };
  };
  /** What changed of an account between two instants or positions, and by which events: GET /api/v1/admin/users/{user_id}/diff */
  readonly userDifference: {
    readonly params: {
      readonly user_id: string;
    };
    readonly query: {
      /** An instant in ISO-8601 with a time zone, not in the future, or a position of the log (opaque). The state is that of all events of this thing up to the last one, in the order of the log, that happened at that instant or before, or that is at that position or before. */
      readonly from: string;
      /** An instant in ISO-8601 with a time zone, not in the future, or a position of the log (opaque). The state is that of all events of this thing up to the last one, in the order of the log, that happened at that instant or before, or that is at that position or before. Default: now. */
      readonly to?: string;
    };
    readonly replies: {
      200: Schemas['Difference'];
    };
  };
  /** How far an opening had come at an instant or a position: GET /api/v1/admin/deliveries/{unlock_id}/state */
  readonly deliveryThen: {
    readonly params: {
      readonly unlock_id: string;
    };
    readonly query?: {
      /** An instant in ISO-8601 with a time zone, not in the future, or a position of the log (opaque). The state is that of all events of this thing up to the last one, in the order of the log, that happened at that instant or before, or that is at that position or before. Default: now. */
      readonly as_of?: string;
    };
    readonly replies: {
      200: Schemas['PastDelivery'];
    };
  };
  /** What became of an opening between two instants or positions, and by which events: GET /api/v1/admin/deliveries/{unlock_id}/diff */
  readonly deliveryDifference: {
    readonly params: {
      readonly unlock_id: string;
    };
    readonly query: {
      /** An instant in ISO-8601 with a time zone, not in the future, or a position of the log (opaque). The state is that of all events of this thing up to the last one, in the order of the log, that happened at that instant or before, or that is at that position or before. */
      readonly from: string;
      /** An instant in ISO-8601 with a time zone, not in the future, or a position of the log (opaque). The state is that of all events of this thing up to the last one, in the order of the log, that happened at that instant or before, or that is at that position or before. Default: now. */
      readonly to?: string;
    };
    readonly replies: {
      200: Schemas['Difference'];
    };
  };
  /** Whether a person could open a box at an instant, by which rule, and since which event: GET /api/v1/admin/devices/{device_id}/why */
  readonly whyDevice: {
    readonly params: {
      readonly device_id: string;
    };
    readonly query?: {
      /** An instant in ISO-8601 with a time zone, not in the future, or a position of the log (opaque). The state is that of all events of this thing up to the last one, in the order of the log, that happened at that instant or before, or that is at that position or before. Default: now. */
      readonly as_of?: string;
      /** Who would ask. Default: the owner of then. */
      readonly user_id?: string;
    };
    readonly replies: {
      200: Schemas['Why'];
    };
  };
  /** Whether a link would have opened its box at an instant, by which rule, and since which event: GET /api/v1/admin/links/{link_id}/why */
  readonly whyLink: {
    readonly params: {
      readonly link_id: string;
    };
    readonly query?: {
      /** An instant in ISO-8601 with a time zone, not in the future, or a position of the log (opaque). The state is that of all events of this thing up to the last one, in the order of the log, that happened at that instant or before, or that is at that position or before. Default: now. */
      readonly as_of?: string;
    };
    readonly replies: {
      200: Schemas['Why'];
    };
  };
  /** Why an opening was allowed: the rule, what it looked at, and the event since which it was allowed: GET /api/v1/admin/deliveries/{unlock_id}/why */
  readonly whyUnlock: {
    readonly params: {
      readonly unlock_id: string;
    };
    readonly replies: {
      200: Schemas['Why'];
    };
  };
  /** Why a request to open was refused: the rule, what it looked at, and the event since which it refused: GET /api/v1/admin/refusals/{position}/why */
  readonly whyRefused: {
    readonly params: {
      /** Of a refusal, as the audit log has it. */
      readonly position: string;
    };
    readonly replies: {
      200: Schemas['Why'];
    };
  };
  /** The cause chain of one opening, from the HTTP request to the bolt, with the time of each hop, and where it broke: GET /api/v1/admin/unlocks/{unlock_id}/trace */
  readonly unlockTrace: {
    readonly params: {
      readonly unlock_id: string;
    };
    readonly replies: {
      200: {
        /** Of a refused request: the id that its opening would have had. */
        readonly unlock_id: string;
        readonly device_id: string;
        readonly status: 'requested' | 'dispatched' | 'published' | 'acknowledged' | 'opened' | 'failed' | 'unknown' | 'cancelled' | 'expired' | 'refused';
        readonly correlation_id: string;
        /** When the request came in; where that is not known, its first event. */
        readonly started_at: string;
        readonly duration_ms: number;
        readonly request: {
          /** Also the `trace_id` of its answer, where the client named no trace of its own. */
          readonly id: string;
          readonly at: string | null;
          readonly actor: {
            readonly kind: string;
            readonly id: string;
          };
          readonly source: string | null;
          readonly ip_address: string | null;
          readonly user_agent: string | null;
        };
        readonly link: {
          readonly link_id: string;
          readonly use: number | null;
          readonly max_uses: number;
        } | null;
        readonly steps: readonly Schemas['TraceStep'][];
        /** Where it is, or where it broke, in words. */
        readonly standing: {
          readonly is: 'complete' | 'under_way' | 'broken';
          /** The last one, the next one, or the one at which it broke. */
          readonly step: 'request' | 'asked' | 'dispatched' | 'published' | 'acknowledged' | 'confirmed' | 'delivered';
          readonly since: string;
          readonly text: string;
        };
        /** Every event that came of the request, in the order of the log. */
        readonly hops: readonly {
          readonly hop: string;
          readonly type: string;
          readonly at: string;
          readonly recorded_at: string;
          /** Since `started_at`. */
          readonly offset_ms: number;
          readonly actor: {
            readonly kind: string;
            readonly id: string;
          };
          readonly source: string;
          readonly event_id: string;
          readonly causation_id: string;
          readonly position: string;
          readonly details: Readonly<Record<string, unknown>>;
        }[];
      };
    };
  };
  /** The cause chain of a request to open that was refused: GET /api/v1/admin/refusals/{position}/trace */
  readonly refusalTrace: {
    readonly params: {
      /** Of a refusal, as the audit log has it. */
      readonly position: string;
    };
    readonly replies: {
      200: {
        /** Of a refused request: the id that its opening would have had. */
        readonly unlock_id: string;
        readonly device_id: string;
        readonly status: 'requested' | 'dispatched' | 'published' | 'acknowledged' | 'opened' | 'failed' | 'unknown' | 'cancelled' | 'expired' | 'refused';
        readonly correlation_id: string;
        /** When the request came in; where that is not known, its first event. */
        readonly started_at: string;
        readonly duration_ms: number;
        readonly request: {
          /** Also the `trace_id` of its answer, where the client named no trace of its own. */
          readonly id: string;
          readonly at: string | null;
          readonly actor: {
            readonly kind: string;
            readonly id: string;
          };
          readonly source: string | null;
          readonly ip_address: string | null;
          readonly user_agent: string | null;
        };
        readonly link: {
          readonly link_id: string;
          readonly use: number | null;
          readonly max_uses: number;
        } | null;
        readonly steps: readonly Schemas['TraceStep'][];
        /** Where it is, or where it broke, in words. */
        readonly standing: {
          readonly is: 'complete' | 'under_way' | 'broken';
          /** The last one, the next one, or the one at which it broke. */
          readonly step: 'request' | 'asked' | 'dispatched' | 'published' | 'acknowledged' | 'confirmed' | 'delivered';
          readonly since: string;
          readonly text: string;
        };
        /** Every event that came of the request, in the order of the log. */
        readonly hops: readonly {
          readonly hop: string;
          readonly type: string;
          readonly at: string;
          readonly recorded_at: string;
          /** Since `started_at`. */
          readonly offset_ms: number;
          readonly actor: {
            readonly kind: string;
            readonly id: string;
          };
          readonly source: string;
          readonly event_id: string;
          readonly causation_id: string;
          readonly position: string;
          readonly details: Readonly<Record<string, unknown>>;
        }[];
      };
    };
  };
  /** Signed heads of the log, newest first: keep some where nobody who can write to the database can: GET /api/v1/admin/proof/heads */
  readonly proofHeads: {
    readonly query?: {
      /** Default 100. */
      readonly limit?: number;
      readonly offset?: number;
      /** Where to go on: `X-Next-Cursor` of the answer before. */
      readonly cursor?: string;
      /** From 1. The answer is then an envelope with counts. */
      readonly page?: number;
      /** Default 20. */
      readonly page_size?: number;
    };
    readonly replies: {
      200: readonly Schemas['SignedHead'][] | {
        readonly count: number;
        readonly next: string | null;
        readonly previous: string | null;
        readonly total_pages: number;
        readonly current_page: number;
        readonly results: readonly Schemas['SignedHead'][];
      };
    };
  };
  /** The public keys that heads are signed by, and the identity of the log: what a verifier needs, kept elsewhere once: GET /api/v1/admin/proof/keys */
  readonly proofKeys: {
    readonly replies: {
      200: Schemas['ProofKeys'];
    };
  };
  /** Proof that one event was in the log when a head was signed; for `loqey-verify.mjs --proof`: GET /api/v1/admin/proof/events/{event_id} */
  readonly proofOfEvent: {
    readonly params: {
      readonly event_id: string;
    };
    readonly query?: {
      /** `size` of a signed head. */
      readonly size?: number;
    };
    readonly replies: {
      200: Schemas['EventProof'];
    };
  };
  /** Proof that the log of a later head begins with the log of an earlier one; for `loqey-verify.mjs --consistency`: GET /api/v1/admin/proof/consistency */
  readonly proofOfConsistency: {
    readonly query: {
      /** `size` of a signed head. */
      readonly from: number;
      /** `size` of a signed head. */
      readonly to?: number;
    };
    readonly replies: {
      200: Schemas['ConsistencyProof'];
    };
  };
  /** Deliveries by day and by hour of a time zone: GET /api/v1/admin/analytics/deliveries */
  readonly deliveryAnalytics: {
    readonly query?: {
      readonly date_from?: string;
      readonly date_to?: string;
      /** As `Europe/Istanbul`. Default: that of the server. */
      readonly tz?: string;
    };
    readonly replies: {
      200: {
        /** Completed deliveries. */
        readonly total_deliveries: number;
        /** Asked for by couriers, whatever came of it. */
        readonly total_attempts: number;
        /** `YYYY-MM-DD` in the time zone. */
        readonly date_from: string;
        /** `YYYY-MM-DD` in the time zone. */
        readonly date_to: string;
        readonly time_zone: string;
        readonly daily_breakdown: readonly {
          /** `YYYY-MM-DD` in the time zone. */
          readonly date: string;
          /** Completed deliveries. */
          readonly deliveries: number;
          /** Asked for by couriers, whatever came of it. */
          readonly attempts: number;
        }[];
        /** Hours with deliveries, the busiest first. */
        readonly peak_hours: readonly {
          /** 0–23 by the clocks of the time zone. */
          readonly hour: number;
          /** Completed deliveries. */
          readonly deliveries: number;
        }[];
        /** All 24. */
        readonly hourly_breakdown: readonly {
          /** 0–23 by the clocks of the time zone. */
          readonly hour: number;
          /** Completed deliveries. */
          readonly deliveries: number;
          /** Asked for by couriers, whatever came of it. */
          readonly attempts: number;
        }[];
      };
    };
  };
  /** What runs around the clock: when it ran last and how that went, and when it runs next: GET /api/v1/admin/jobs */
  readonly adminJobs: {
    readonly replies: {
      200: readonly Schemas['Job'][];
    };
  };
  /** Run a job now instead of at its next time; who asked is recorded: POST /api/v1/admin/jobs/{name}/run */
  readonly runJob: {
    readonly params: {
      readonly name: string;
    };
    readonly body?: Readonly<Record<string, never>>;
    readonly replies: {
      202: {
        readonly message: string;
        readonly name: string;
        readonly started: boolean;
        readonly status_url: string;
      };
    };
  };
  /** Look now whether a box is still heard of; one that has been silent for five minutes is recorded as offline: POST /api/v1/admin/devices/{device_id}/check */
  readonly checkDevice: {
    readonly params: {
      readonly device_id: string;
    };
    readonly body?: Readonly<Record<string, never>>;
    readonly replies: {
      200: {
        readonly device_id: string;
        readonly is_online: boolean;
        readonly last_heartbeat: string | null;
        /** True where this look found it out. */
        readonly went_offline: boolean;
      };
    };
  };
  /** The read models: how far each is, its generations, and what is built: GET /api/v1/admin/projections */
  readonly adminProjections: {
    readonly replies: {
      200: {
        readonly head: string | null;
        readonly projections: readonly Schemas['Projection'][];
      };
    };
  };
  /** One read model: GET /api/v1/admin/projections/{name} */
  readonly adminProjection: {
    readonly params: {
      readonly name: string;
    };
    readonly replies: {
      200: Schemas['Projection'];
    };
  };
  /** Build a read model anew over all past data beside the live one, then switch to it; `all`: every one in one pass: POST /api/v1/admin/projections/{name}/rebuild */
  readonly rebuildProjection: {
    readonly params: {
      readonly name: string;
    };
    readonly body?: {
      /** Default true. false: it waits until somebody switches to it. */
      readonly switch?: boolean;
      /** Hold it against the live one first: a difference leaves it waiting. */
      readonly compare?: boolean;
      /** Switch although the new one differs from the live one. */
      readonly accept_differences?: boolean;
    };
    readonly replies: {
      202: Schemas['ProjectionRun'];
    };
  };
  /** Hold the generation that waits, or a new one, against the live one at the same position: POST /api/v1/admin/projections/{name}/compare */
  readonly compareProjection: {
    readonly params: {
      readonly name: string;
    };
    readonly body?: Readonly<Record<string, never>>;
    readonly replies: {
      202: Schemas['ProjectionRun'];
    };
  };
  /** Bring the generation that waits up to date and read it from then on; a difference from the live one stops it: POST /api/v1/admin/projections/{name}/switch */
  readonly switchProjection: {
    readonly params: {
      readonly name: string;
    };
    readonly body?: {
      /** Another one than the one that waits. */
      readonly generation?: number;
      /** Switch although the new one differs from the live one. */
      readonly accept_differences?: boolean;
    };
    readonly replies: {
      202: Schemas['ProjectionRun'];
    };
  };
  /** Go back to the generation before this one, for 24 hours after it was replaced; it is brought up to date first: POST /api/v1/admin/projections/{name}/rollback */
  readonly rollbackProjection: {
    readonly params: {
      readonly name: string;
    };
    readonly body?: Readonly<Record<string, never>>;
    readonly replies: {
      202: Schemas['ProjectionRun'];
    };
  };
  /** Take back what waits or runs for a read model; the live one stays as it is: POST /api/v1/admin/projections/{name}/cancel */
  readonly cancelProjectionRun: {
    readonly params: {
      readonly name: string;
    };
    readonly body?: Readonly<Record<string, never>>;
    readonly replies: {
      202: Schemas['ProjectionRun'];
    };
  };
  /** Let a stopped read model go on after the event that it stands before; who and why is recorded: POST /api/v1/admin/projections/{name}/skip */
  readonly skipProjectionEvent: {
    readonly params: {
      readonly name: string;
    };
    readonly body: {
      /** Of the event, as the read model names it. */
      readonly position: string;
      /** Kept in the audit log for ever, in clear: name nobody in it. */
      readonly reason: string;
    };
    readonly replies: {
      200: Schemas['Projection'];
    };
  };
  /** How each part is: GET /api/v1/health */
  readonly health: {
    readonly replies: {
      200: {
        readonly status: 'healthy' | 'degraded' | 'unhealthy';
        readonly service: string;
        readonly version: string;
        readonly timestamp: string;
        readonly services: Readonly<Record<string, string>>;
      };
      503: {
        readonly status: 'healthy' | 'degraded' | 'unhealthy';
        readonly service: string;
        readonly version: string;
        readonly timestamp: string;
        readonly services: Readonly<Record<string, string>>;
      };
    };
  };
  /** This process answers: GET /api/v1/health/live */
  readonly live: {
    readonly replies: {
      200: {
        readonly status: 'live';
      };
    };
  };
  /** This process may be sent traffic: GET /api/v1/health/ready */
  readonly ready: {
    readonly replies: {
      200: {
        readonly status: 'ready';
      };
      503: {
        readonly status: 'not_ready';
        readonly waiting_for: readonly string[];
      };
    };
  };
  /** Which version this is: GET /api/v1/system/version */
  readonly version: {
    readonly replies: {
      200: {
        readonly name: string;
        readonly version: string;
        readonly api: 'v1';
      };
    };
  };
  /** Figures of this process for Prometheus: GET /metrics */
  readonly metrics: {
    readonly replies: {
      200: string;
    };
  };
  /** The platform in five figures: GET /api/v1/admin/dashboard */
  readonly dashboard: {
    readonly query?: {
      /** As `Europe/Istanbul`. Default: that of the server. */
      readonly tz?: string;
    };
    readonly replies: {
      200: {
        readonly total_devices: number;
        readonly active_devices: number;
        readonly total_users: number;
        readonly deliveries_today: number;
        readonly system_health: 'healthy' | 'degraded' | 'unhealthy';
      };
    };
  };
  /** How each part is, with how far the projections are behind: GET /api/v1/admin/system/health */
  readonly systemHealth: {
    readonly replies: {
      200: {
        readonly database: 'healthy' | 'degraded' | 'down' | 'not_here';
        readonly event_store: 'healthy' | 'degraded' | 'down' | 'not_here';
        readonly eventstore: 'healthy' | 'degraded' | 'down' | 'not_here';
        readonly kafka: 'healthy' | 'degraded' | 'down' | 'not_here';
        readonly mqtt_broker: 'healthy' | 'degraded' | 'down' | 'not_here';
        readonly celery_workers: 'healthy' | 'degraded' | 'down' | 'not_here';
        readonly jobs: 'healthy' | 'degraded' | 'down' | 'not_here';
        readonly projectors: 'healthy' | 'degraded' | 'down' | 'not_here';
        /** Events behind the end of the log. */
        readonly projections: Readonly<Record<string, number>>;
        /** Half of the last thousand answers of this process took no longer. */
        readonly api_response_time: string;
        readonly api_response_time_p95: string | null;
        readonly details: Readonly<Record<string, string>>;
        readonly dependencies: Readonly<Record<string, {
          readonly state: 'healthy' | 'degraded' | 'down' | 'not_here';
          readonly response_time: string | null;
          readonly detail: string | null;
        }>>;
        readonly read_models: readonly {
          readonly name: string;
          readonly state: 'running' | 'catching_up' | 'stopped';
          /** Positions of the log. */
          readonly behind: number;
          readonly last_event_at: string | null;
          readonly error: string | null;
        }[];
      };
    };
  };
}

export const operations = {
  register: { method: 'POST', path: '/api/v1/auth/register' },
  login: { method: 'POST', path: '/api/v1/auth/login' },
  adminLogin: { method: 'POST', path: '/api/v1/admin/auth/login' },
  refresh: { method: 'POST', path: '/api/v1/auth/refresh' },
  logout: { method: 'POST', path: '/api/v1/auth/logout' },
  me: { method: 'GET', path: '/api/v1/auth/me' },
  profile: { method: 'GET', path: '/api/v1/users/profile' },
  changeProfile: { method: 'PUT', path: '/api/v1/users/profile' },
  changePassword: { method: 'POST', path: '/api/v1/users/change-password' },
  sessions: { method: 'GET', path: '/api/v1/auth/sessions' },
  endSession: { method: 'DELETE', path: '/api/v1/auth/sessions/{session_id}' },
  myDevices: { method: 'GET', path: '/api/v1/devices/my-devices' },
  assignDevice: { method: 'POST', path: '/api/v1/devices/assign' },
  getDevice: { method: 'GET', path: '/api/v1/devices/{device_id}' },
  changeDevice: { method: 'PUT', path: '/api/v1/devices/{device_id}' },
  unlinkDevice: { method: 'DELETE', path: '/api/v1/devices/{device_id}/unlink' },
  requestUnlink: { method: 'POST', path: '/api/v1/devices/{device_id}/unlink-request' },
  deviceStatus: { method: 'GET', path: '/api/v1/devices/{device_id}/status' },
  reportStatus: { method: 'POST', path: '/api/v1/devices/{device_id}/status' },
  unlockDevice: { method: 'POST', path: '/api/v1/devices/{device_id}/unlock' },
  lockDevice: { method: 'PUT', path: '/api/v1/devices/{device_id}/lock' },
  deviceSettings: { method: 'GET', path: '/api/v1/devices/{device_id}/settings' },
  changeDeviceSettings: { method: 'PUT', path: '/api/v1/devices/{device_id}/settings' },
  activities: { method: 'GET', path: '/api/v1/activities' },
  deviceActivity: { method: 'GET', path: '/api/v1/devices/{device_id}/activity' },
  deviceHealth: { method: 'GET', path: '/api/v1/devices/{device_id}/health' },
  deviceBattery: { method: 'GET', path: '/api/v1/devices/{device_id}/battery' },
  reportBattery: { method: 'POST', path: '/api/v1/devices/{device_id}/battery' },
  myLinks: { method: 'GET', path: '/api/v1/access/my-links' },
  linksOfDevice: { method: 'GET', path: '/api/v1/links/device/{device_id}' },
  createLink: { method: 'POST', path: '/api/v1/access/create-link' },
  getLink: { method: 'GET', path: '/api/v1/access/links/{link_id}' },
  updateLink: { method: 'PUT', path: '/api/v1/access/links/{link_id}' },
  deleteLink: { method: 'DELETE', path: '/api/v1/access/links/{link_id}' },
  deactivateLink: { method: 'POST', path: '/api/v1/access/links/{link_id}/deactivate' },
  linkImage: { method: 'GET', path: '/api/v1/access/links/{link_id}/qr' },
  myDeliveries: { method: 'GET', path: '/api/v1/deliveries/my-deliveries' },
  getDelivery: { method: 'GET', path: '/api/v1/deliveries/{delivery_id}' },
  linkInfo: { method: 'GET', path: '/api/v1/delivery/link/{link_token}/info' },
  linkUnlock: { method: 'POST', path: '/api/v1/delivery/link/{link_token}/unlock' },
  linkStatus: { method: 'GET', path: '/api/v1/delivery/link/{link_token}/status' },
  getCommand: { method: 'GET', path: '/api/v1/commands/{command_id}' },
  notifications: { method: 'GET', path: '/api/v1/notifications' },
  readNotification: { method: 'POST', path: '/api/v1/notifications/{notification_id}/read' },
  readAllNotifications: { method: 'POST', path: '/api/v1/notifications/read-all' },
  notificationSettings: { method: 'GET', path: '/api/v1/notifications/settings' },
  changeNotificationSettings: { method: 'PUT', path: '/api/v1/notifications/settings' },
  reportHeartbeat: { method: 'POST', path: '/api/v1/devices/{device_id}/heartbeat' },
  reportResponse: { method: 'POST', path: '/api/v1/devices/{device_id}/responses' },
  deviceCommands: { method: 'GET', path: '/api/v1/devices/{device_id}/commands' },
  acknowledgeCommand: { method: 'PUT', path: '/api/v1/devices/{device_id}/commands/{command_id}' },
  rejectedOfDevice: { method: 'GET', path: '/api/v1/admin/devices/{device_id}/rejected-messages' },
  rejectedOfStrangers: { method: 'GET', path: '/api/v1/admin/rejected-messages' },
  adminDevices: { method: 'GET', path: '/api/v1/admin/devices' },
  registerDevice: { method: 'POST', path: '/api/v1/admin/devices/register' },
  importDevices: { method: 'POST', path: '/api/v1/admin/devices/import', sends: 'text/csv' },
  adminDevice: { method: 'GET', path: '/api/v1/admin/devices/{device_id}' },
  regeneratePin: { method: 'PUT', path: '/api/v1/admin/devices/{device_id}/regenerate-pin' },
  adminUnlink: { method: 'DELETE', path: '/api/v1/admin/devices/{device_id}/unlink' },
  emergencyUnlock: { method: 'POST', path: '/api/v1/admin/devices/{device_id}/unlock' },
  acceptDeliveries: { method: 'POST', path: '/api/v1/admin/devices/{device_id}/accept-deliveries' },
  startMaintenance: { method: 'POST', path: '/api/v1/admin/devices/{device_id}/maintenance' },
  endMaintenance: { method: 'DELETE', path: '/api/v1/admin/devices/{device_id}/maintenance' },
  decommission: { method: 'POST', path: '/api/v1/admin/devices/{device_id}/decommission' },
  rotateKeys: { method: 'POST', path: '/api/v1/admin/devices/{device_id}/rotate-keys' },
  reprovisionDevice: { method: 'POST', path: '/api/v1/admin/devices/{device_id}/reprovision' },
  adminUsers: { method: 'GET', path: '/api/v1/admin/users' },
  adminUser: { method: 'GET', path: '/api/v1/admin/users/{user_id}' },
  suspendUser: { method: 'PUT', path: '/api/v1/admin/users/{user_id}/suspend' },
  activateUser: { method: 'PUT', path: '/api/v1/admin/users/{user_id}/activate' },
  exportMe: { method: 'GET', path: '/api/v1/auth/me/export' },
  previewErasure: { method: 'GET', path: '/api/v1/auth/me/erase' },
  eraseMe: { method: 'POST', path: '/api/v1/auth/me/erase' },
  erasure: { method: 'GET', path: '/api/v1/erasures/{erasure_id}' },
  exportUser: { method: 'GET', path: '/api/v1/admin/users/{user_id}/export' },
  previewUserErasure: { method: 'GET', path: '/api/v1/admin/users/{user_id}/erase' },
  eraseUser: { method: 'POST', path: '/api/v1/admin/users/{user_id}/erase' },
  admins: { method: 'GET', path: '/api/v1/admin/admins' },
  createAdmin: { method: 'POST', path: '/api/v1/admin/admins' },
  adminRoles: { method: 'GET', path: '/api/v1/admin/roles' },
  admin: { method: 'GET', path: '/api/v1/admin/admins/{user_id}' },
  changeAdmin: { method: 'PUT', path: '/api/v1/admin/admins/{user_id}' },
  revokeAdmin: { method: 'DELETE', path: '/api/v1/admin/admins/{user_id}' },
  auditLog: { method: 'GET', path: '/api/v1/admin/logs/audit' },
  exportAuditLog: { method: 'GET', path: '/api/v1/admin/logs/audit/export' },
  auditEntry: { method: 'GET', path: '/api/v1/admin/logs/audit/{event_id}' },
  deviceThen: { method: 'GET', path: '/api/v1/admin/devices/{device_id}/state' },
  deviceDifference: { method: 'GET', path: '/api/v1/admin/devices/{device_id}/diff' },
  linkThen: { method: 'GET', path: '/api/v1/admin/links/{link_id}/state' },
  linkDifference: { method: 'GET', path: '/api/v1/admin/links/{link_id}/diff' },
  userThen: { method: 'GET', path: '/api/v1/admin/users/{user_id}/state' },
  userDifference: { method: 'GET', path: '/api/v1/admin/users/{user_id}/diff' },
  deliveryThen: { method: 'GET', path: '/api/v1/admin/deliveries/{unlock_id}/state' },
  deliveryDifference: { method: 'GET', path: '/api/v1/admin/deliveries/{unlock_id}/diff' },
  whyDevice: { method: 'GET', path: '/api/v1/admin/devices/{device_id}/why' },
  whyLink: { method: 'GET', path: '/api/v1/admin/links/{link_id}/why' },
  whyUnlock: { method: 'GET', path: '/api/v1/admin/deliveries/{unlock_id}/why' },
  whyRefused: { method: 'GET', path: '/api/v1/admin/refusals/{position}/why' },
  unlockTrace: { method: 'GET', path: '/api/v1/admin/unlocks/{unlock_id}/trace' },
  refusalTrace: { method: 'GET', path: '/api/v1/admin/refusals/{position}/trace' },
  proofHeads: { method: 'GET', path: '/api/v1/admin/proof/heads' },
  proofKeys: { method: 'GET', path: '/api/v1/admin/proof/keys' },
  proofOfEvent: { method: 'GET', path: '/api/v1/admin/proof/events/{event_id}' },
  proofOfConsistency: { method: 'GET', path: '/api/v1/admin/proof/consistency' },
  deliveryAnalytics: { method: 'GET', path: '/api/v1/admin/analytics/deliveries' },
  adminJobs: { method: 'GET', path: '/api/v1/admin/jobs' },
  runJob: { method: 'POST', path: '/api/v1/admin/jobs/{name}/run' },
  checkDevice: { method: 'POST', path: '/api/v1/admin/devices/{device_id}/check' },
  adminProjections: { method: 'GET', path: '/api/v1/admin/projections' },
  adminProjection: { method: 'GET', path: '/api/v1/admin/projections/{name}' },
  rebuildProjection: { method: 'POST', path: '/api/v1/admin/projections/{name}/rebuild' },
  compareProjection: { method: 'POST', path: '/api/v1/admin/projections/{name}/compare' },
  switchProjection: { method: 'POST', path: '/api/v1/admin/projections/{name}/switch' },
  rollbackProjection: { method: 'POST', path: '/api/v1/admin/projections/{name}/rollback' },
  cancelProjectionRun: { method: 'POST', path: '/api/v1/admin/projections/{name}/cancel' },
  skipProjectionEvent: { method: 'POST', path: '/api/v1/admin/projections/{name}/skip' },
  health: { method: 'GET', path: '/api/v1/health' },
  live: { method: 'GET', path: '/api/v1/health/live' },
  ready: { method: 'GET', path: '/api/v1/health/ready' },
  version: { method: 'GET', path: '/api/v1/system/version' },
  metrics: { method: 'GET', path: '/metrics' },
  dashboard: { method: 'GET', path: '/api/v1/admin/dashboard' },
  systemHealth: { method: 'GET', path: '/api/v1/admin/system/health' },
} as const;
