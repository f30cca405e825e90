BEGIN TRANSACTION;
CREATE TABLE channel (name TEXT PRIMARY KEY, last_success REAL, not_before REAL, trying_since REAL, failures INTEGER NOT NULL DEFAULT 0, failed_at REAL, outcome TEXT, why TEXT, cause TEXT, url BLOB, month TEXT, sent INTEGER NOT NULL DEFAULT 0) WITHOUT ROWID;
INSERT INTO "channel" VALUES('slack',1.79611659384351110462e+09,1796116599.2511,1.79611659445202803608e+09,1,1.79611659567225193977e+09,'passing','HTTP 503','server',X'A6A6CCB0A120C983D39927D099F28DC88C4672559E6BB69F','2026-12',2);
CREATE TABLE content (
        seller TEXT NOT NULL, key BLOB NOT NULL, trust TEXT NOT NULL,
        PRIMARY KEY (seller, key)
    ) WITHOUT ROWID;
INSERT INTO "content" VALUES('shop',X'3BDA6CCB1AAF506F59490C33499004E26D3619D290162E00','verified');
INSERT INTO "content" VALUES('shop',X'53AE2D53D95AA91865EF1C8B65AC62B9A0A5785CA0DA10CE','verified');
INSERT INTO "content" VALUES('shop',X'A2049BCCD3E1F8A86C28C3CF05485D1075B778AD05B8040F','verified');
CREATE TABLE counter (name TEXT PRIMARY KEY, total INTEGER NOT NULL) WITHOUT ROWID;
CREATE TABLE fault (
        key TEXT PRIMARY KEY, fault TEXT NOT NULL, began REAL NOT NULL, told REAL NOT NULL
    ) WITHOUT ROWID;
CREATE TABLE folder (
        account TEXT NOT NULL, folder TEXT NOT NULL, uidvalidity INTEGER, floor INTEGER NOT NULL,
        mode TEXT NOT NULL, last_good_search REAL, mails_seen INTEGER NOT NULL DEFAULT 0, watched_as TEXT, singles INTEGER NOT NULL DEFAULT 0,
        PRIMARY KEY (account, folder)
    ) WITHOUT ROWID;
INSERT INTO "folder" VALUES('shop','INBOX',1650000000,0,'idle',1.79611659430548810953e+09,3,'INBOX',0);
CREATE TABLE held (
        id INTEGER PRIMARY KEY, at REAL NOT NULL, reason TEXT NOT NULL, account TEXT NOT NULL, folder TEXT NOT NULL,
        request INTEGER REFERENCES request ON DELETE SET NULL, alert TEXT NOT NULL
    );
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
        unsure INTEGER NOT NULL DEFAULT 0, outcome TEXT, settled_at REAL
    , root TEXT, about TEXT, first_attempt REAL);
INSERT INTO "outbox" VALUES(1,'ee09d0dc-95a7-4ea5-8d12-8e62ee210d80','slack',1,'{}',1796116583.21035,0.0,1,1,'accepted',1.79611659351245188712e+09,NULL,NULL,1796116583.87562);
INSERT INTO "outbox" VALUES(2,'785bd907-b148-4ee0-be4e-34f6f87f7044','slack',2,'{}',1.79611658392590808862e+09,0.0,1,1,'accepted',1.79611659384351110462e+09,NULL,NULL,1.79611659355716204644e+09);
INSERT INTO "outbox" VALUES(3,'8ed7aaaf-cd66-4b14-bead-6b83792f3113','slack',3,'{"kind": "request", "why": "first of its order", "trust": "verified", "seller": "shop", "order_id": "503-1000003-2000021", "marketplace": "JP", "received": 1793502000, "account": "shop", "folder": "INBOX", "items": "[{\"title\": \"ステンレス水筒 500ml ホワイト\", \"asin\": null, \"sku\": \"BOTTLE-W-500\", \"quantity\": 1}]", "also_mentioned": [], "reason": "誤って注文した", "excerpt": null, "order_date": null, "ship_by": null, "sender_domain": "amazon.co.jp"}',1.79611659420407891274e+09,0.0,1,0,'passing',NULL,NULL,NULL,1.79611659445202803608e+09);
CREATE TABLE reading (
        account TEXT NOT NULL, folder TEXT NOT NULL, uidvalidity INTEGER NOT NULL, uid INTEGER NOT NULL,
        received INTEGER NOT NULL, size INTEGER NOT NULL,
        begun INTEGER NOT NULL DEFAULT 0, failed INTEGER NOT NULL DEFAULT 0,
        PRIMARY KEY (account, folder, uidvalidity, uid, received, size)
    ) WITHOUT ROWID;
CREATE TABLE refusal (account TEXT PRIMARY KEY, count INTEGER NOT NULL, at REAL NOT NULL) WITHOUT ROWID;
CREATE TABLE report (name TEXT PRIMARY KEY, at REAL NOT NULL, totals TEXT NOT NULL) WITHOUT ROWID;
INSERT INTO "report" VALUES('morning',1.79611658161824798581e+09,'{"mails": 0, "known": 0, "missed": 0, "forged": 0}');
INSERT INTO "report" VALUES('run',1.79611658150347089767e+09,'{}');
CREATE TABLE request (
        id INTEGER PRIMARY KEY, identity BLOB NOT NULL UNIQUE, seller TEXT NOT NULL, order_id TEXT,
        marketplace TEXT, kind TEXT NOT NULL, trust TEXT NOT NULL, state TEXT NOT NULL,
        opened_at INTEGER NOT NULL, asked INTEGER NOT NULL DEFAULT 1, items TEXT NOT NULL
    );
INSERT INTO "request" VALUES(1,X'5805B31DADB8F1A9875D2183FE5FE89A5A294B1E5140D544','shop','503-1000001-2000007','JP','request','verified','open',1793502000,1,'[{"title": "6515b6fe37a02260c0946e774c856ed4eb5676a46c42013e", "asin": null, "sku": "BOTTLE-W-500", "quantity": 1}]');
INSERT INTO "request" VALUES(2,X'6C1B272AFF55282FD5CCBA78B77D92D0EBD47F6D23E46722','shop','503-1000002-2000014','JP','request','verified','done',1793502000,1,'[{"title": "6515b6fe37a02260c0946e774c856ed4eb5676a46c42013e", "asin": null, "sku": "BOTTLE-W-500", "quantity": 1}]');
INSERT INTO "request" VALUES(3,X'FA62EF93C345A528B6062170BF588375664F849017C7786F','shop','503-1000003-2000021','JP','request','verified','open',1793502000,1,'[{"title": "6515b6fe37a02260c0946e774c856ed4eb5676a46c42013e", "asin": null, "sku": "BOTTLE-W-500", "quantity": 1}]');
CREATE TABLE secret (id INTEGER PRIMARY KEY CHECK (id = 1), hash_key BLOB NOT NULL);
INSERT INTO "secret" VALUES(1,X'BE1EC4DBBD920A95EB79EC9C1778C28A80102BB6773ACEF77477DD4FB946B6E4');
CREATE TABLE sighting (
        id INTEGER PRIMARY KEY, request INTEGER NOT NULL REFERENCES request ON DELETE CASCADE,
        at INTEGER NOT NULL, kind TEXT NOT NULL, trust TEXT NOT NULL, route TEXT, items TEXT NOT NULL,
        account TEXT NOT NULL, folder TEXT NOT NULL, decision TEXT NOT NULL
    );
INSERT INTO "sighting" VALUES(1,1,1793502000,'request','verified','notification','[{"title": "6515b6fe37a02260c0946e774c856ed4eb5676a46c42013e", "asin": null, "sku": "BOTTLE-W-500", "quantity": 1}]','shop','INBOX','open');
INSERT INTO "sighting" VALUES(2,2,1793502000,'request','verified','notification','[{"title": "6515b6fe37a02260c0946e774c856ed4eb5676a46c42013e", "asin": null, "sku": "BOTTLE-W-500", "quantity": 1}]','shop','INBOX','open');
INSERT INTO "sighting" VALUES(3,3,1793502000,'request','verified','notification','[{"title": "6515b6fe37a02260c0946e774c856ed4eb5676a46c42013e", "asin": null, "sku": "BOTTLE-W-500", "quantity": 1}]','shop','INBOX','open');
CREATE TABLE unverified (
        id INTEGER PRIMARY KEY, at REAL NOT NULL, request INTEGER REFERENCES request ON DELETE CASCADE,
        kind TEXT NOT NULL, order_id TEXT, state TEXT NOT NULL
    );
CREATE INDEX sighting_by_request ON sighting (request);
CREATE INDEX outbox_owed ON outbox (channel, number) WHERE settled_at IS NULL;
CREATE INDEX outbox_by_root ON outbox (root) WHERE root IS NOT NULL;
CREATE INDEX unverified_by_state ON unverified (state, at);
CREATE INDEX unverified_by_request ON unverified (request);
DELETE FROM "sqlite_sequence";
INSERT INTO "sqlite_sequence" VALUES('outbox',3);
COMMIT;
PRAGMA user_version = 2;
