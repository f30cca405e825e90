BEGIN TRANSACTION;
CREATE TABLE channel (name TEXT PRIMARY KEY, last_success REAL) WITHOUT ROWID;
INSERT INTO "channel" VALUES('slack',1.79611659818527507779e+09);
CREATE TABLE content (
        seller TEXT NOT NULL, key BLOB NOT NULL, trust TEXT NOT NULL,
        PRIMARY KEY (seller, key)
    ) WITHOUT ROWID;
INSERT INTO "content" VALUES('shop',X'02B8465475945419D010EAB18EA3938A0E14DC1BE7ACA3F4','verified');
INSERT INTO "content" VALUES('shop',X'37FD6B7156D1EBE9B18AD7B5A38E1202FAE257B9844C04B9','verified');
INSERT INTO "content" VALUES('shop',X'C1A13FFB2C8D3D1EFD24E8CF3094BFCEC041700922AE0A3B','verified');
CREATE TABLE folder (
        account TEXT NOT NULL, folder TEXT NOT NULL, uidvalidity INTEGER, floor INTEGER NOT NULL,
        mode TEXT NOT NULL, last_good_search REAL, mails_seen INTEGER NOT NULL DEFAULT 0,
        PRIMARY KEY (account, folder)
    ) WITHOUT ROWID;
INSERT INTO "folder" VALUES('shop','INBOX',1650000000,0,'idle',1.79611659848989295958e+09,3);
CREATE TABLE mail (
        account TEXT NOT NULL, folder TEXT NOT NULL, uidvalidity INTEGER NOT NULL, uid INTEGER NOT NULL,
        received INTEGER NOT NULL, size INTEGER NOT NULL,
        PRIMARY KEY (account, folder, uidvalidity, uid, received, size)
    ) WITHOUT ROWID;
INSERT INTO "mail" VALUES('shop','INBOX',1650000000,1,1793502000,925);
INSERT INTO "mail" VALUES('shop','INBOX',1650000000,2,1793502000,925);
INSERT INTO "mail" VALUES('shop','INBOX',1650000000,3,1793502000,925);
CREATE TABLE outbox (
        number INTEGER PRIMARY KEY AUTOINCREMENT, id TEXT NOT NULL UNIQUE, channel TEXT NOT NULL,
        request INTEGER REFERENCES request ON DELETE SET NULL, alert TEXT NOT NULL,
        created_at REAL NOT NULL, next_attempt REAL NOT NULL, attempts INTEGER NOT NULL DEFAULT 0,
        outcome TEXT, settled_at REAL
    );
INSERT INTO "outbox" VALUES(1,'ac013d77-0539-4274-ba0d-5bbb67ffb1d4','slack',1,'{}',1.79611658461415410036e+09,1.79611658461415410036e+09,1,'accepted',1.79611659754115104677e+09);
INSERT INTO "outbox" VALUES(2,'aecf0074-3b60-49bf-bf0b-8fe65f7ccb69','slack',2,'{}',1796116585.0,1796116585.0,1,'accepted',1.79611659818527507779e+09);
INSERT INTO "outbox" VALUES(3,'c1de55d5-72e3-4f8d-8bea-453b382f977b','slack',3,'{"kind": "request", "why": "first of its order", "trust": "verified", "seller": "shop", "order_id": "503-1000003-2000021", "marketplace": "JP", "received": 1793502000, "account": "shop", "folder": "INBOX", "items": "[{\"title\": \"ステンレス水筒 500ml ホワイト\", \"asin\": null, \"sku\": \"BOTTLE-W-500\", \"quantity\": 1}]", "also_mentioned": [], "reason": "誤って注文した", "excerpt": null, "order_date": null, "ship_by": null, "sender_domain": "amazon.co.jp"}',1.79611659839588689796e+09,1.79611660226967310904e+09,1,'passing',NULL);
CREATE TABLE request (
        id INTEGER PRIMARY KEY, identity BLOB NOT NULL UNIQUE, seller TEXT NOT NULL, order_id TEXT,
        marketplace TEXT, kind TEXT NOT NULL, trust TEXT NOT NULL, state TEXT NOT NULL,
        opened_at INTEGER NOT NULL, asked INTEGER NOT NULL DEFAULT 1, items TEXT NOT NULL
    );
INSERT INTO "request" VALUES(1,X'220FA4F3F2755BD799076F6845E3B783B3A68FEDF3D0A138','shop','503-1000001-2000007','JP','request','verified','open',1793502000,1,'[{"title": "a26c2180a1f6ec3bc544523ab920e6459b8129f2148f46a5", "asin": null, "sku": "BOTTLE-W-500", "quantity": 1}]');
INSERT INTO "request" VALUES(2,X'97F3CA9E891C1F5A3F2E672F67815C37BFB74286B14EF2B6','shop','503-1000002-2000014','JP','request','verified','done',1793502000,1,'[{"title": "a26c2180a1f6ec3bc544523ab920e6459b8129f2148f46a5", "asin": null, "sku": "BOTTLE-W-500", "quantity": 1}]');
INSERT INTO "request" VALUES(3,X'DD16DF6A080782C5D3EDF320C81105129997454A6D88815F','shop','503-1000003-2000021','JP','request','verified','open',1793502000,1,'[{"title": "a26c2180a1f6ec3bc544523ab920e6459b8129f2148f46a5", "asin": null, "sku": "BOTTLE-W-500", "quantity": 1}]');
CREATE TABLE secret (id INTEGER PRIMARY KEY CHECK (id = 1), hash_key BLOB NOT NULL);
INSERT INTO "secret" VALUES(1,X'AB21CD82B566E45CE480F00B8E342BFE1A347441DF1E0FD9C439DFE164B58529');
CREATE TABLE sighting (
        id INTEGER PRIMARY KEY, request INTEGER NOT NULL REFERENCES request ON DELETE CASCADE,
        at INTEGER NOT NULL, kind TEXT NOT NULL, trust TEXT NOT NULL, route TEXT, items TEXT NOT NULL,
        account TEXT NOT NULL, folder TEXT NOT NULL, decision TEXT NOT NULL
    );
INSERT INTO "sighting" VALUES(1,1,1793502000,'request','verified','notification','[{"title": "a26c2180a1f6ec3bc544523ab920e6459b8129f2148f46a5", "asin": null, "sku": "BOTTLE-W-500", "quantity": 1}]','shop','INBOX','open');
INSERT INTO "sighting" VALUES(2,2,1793502000,'request','verified','notification','[{"title": "a26c2180a1f6ec3bc544523ab920e6459b8129f2148f46a5", "asin": null, "sku": "BOTTLE-W-500", "quantity": 1}]','shop','INBOX','open');
INSERT INTO "sighting" VALUES(3,3,1793502000,'request','verified','notification','[{"title": "a26c2180a1f6ec3bc544523ab920e6459b8129f2148f46a5", "asin": null, "sku": "BOTTLE-W-500", "quantity": 1}]','shop','INBOX','open');
CREATE INDEX sighting_by_request ON sighting (request);
CREATE INDEX outbox_owed ON outbox (channel, number) WHERE settled_at IS NULL;
DELETE FROM "sqlite_sequence";
INSERT INTO "sqlite_sequence" VALUES('outbox',3);
COMMIT;
PRAGMA user_version = 1;
