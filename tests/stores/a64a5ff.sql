BEGIN TRANSACTION;
CREATE TABLE channel (name TEXT PRIMARY KEY, last_success REAL, not_before REAL, trying_since REAL, failures INTEGER NOT NULL DEFAULT 0, failed_at REAL, outcome TEXT, why TEXT, cause TEXT, url BLOB, month TEXT, sent INTEGER NOT NULL DEFAULT 0) WITHOUT ROWID;
INSERT INTO "channel" VALUES('slack',1.79612124778284096716e+09,1.79612125193286848064e+09,1.79612124787361788751e+09,1,1.7961212479554970264e+09,'passing','HTTP 503','server',X'5FB57F7E9B72F1397F487DCE7D57CF3ABAE6A493E1875024','2026-12',2);
CREATE TABLE content (
        seller TEXT NOT NULL, key BLOB NOT NULL, trust TEXT NOT NULL,
        PRIMARY KEY (seller, key)
    ) WITHOUT ROWID;
INSERT INTO "content" VALUES('shop',X'19F4B316B98684171DD0CFAAED7946BC4302A0B327165A8A','verified');
INSERT INTO "content" VALUES('shop',X'8734D2E5B95DCB60D2D2735C63641FD1F06F2323FF4AF609','verified');
INSERT INTO "content" VALUES('shop',X'8759976B480EEE3E091501CBADA6A56E52D5BCD62E5E2C88','verified');
CREATE TABLE counter (name TEXT PRIMARY KEY, total INTEGER NOT NULL) WITHOUT ROWID;
CREATE TABLE fault (
        key TEXT PRIMARY KEY, fault TEXT NOT NULL, began REAL NOT NULL, told REAL NOT NULL
    ) WITHOUT ROWID;
CREATE TABLE folder (
        account TEXT NOT NULL, folder TEXT NOT NULL, uidvalidity INTEGER, floor INTEGER NOT NULL,
        mode TEXT NOT NULL, last_good_search REAL, mails_seen INTEGER NOT NULL DEFAULT 0, watched_as TEXT, singles INTEGER NOT NULL DEFAULT 0,
        PRIMARY KEY (account, folder)
    ) WITHOUT ROWID;
INSERT INTO "folder" VALUES('shop','INBOX',1650000000,0,'idle',1796121247.8528,3,'INBOX',0);
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
    , root TEXT, about TEXT, first_attempt REAL, answers INTEGER NOT NULL DEFAULT 0);
INSERT INTO "outbox" VALUES(1,'50ac891d-30c9-4857-8039-fca5f6f48c8e','slack',1,'{}',1.79612124591116809847e+09,0.0,1,1,'accepted',1.79612124769974303246e+09,NULL,NULL,1796121245.98615,0);
INSERT INTO "outbox" VALUES(2,'4d46c4b9-fe16-4851-a479-f62ee9af6758','slack',2,'{}',1.79612124599434208865e+09,0.0,1,1,'accepted',1.79612124778284096716e+09,NULL,NULL,1.7961212477265210152e+09,0);
INSERT INTO "outbox" VALUES(3,'d5a713e8-f8d0-4024-b4cd-ad37535d7ca7','slack',3,'{"kind": "request", "why": "first of its order", "trust": "verified", "seller": "shop", "order_id": "503-1000003-2000021", "marketplace": "JP", "received": 1793502000, "account": "shop", "folder": "INBOX", "items": "[{\"title\": \"ステンレス水筒 500ml ホワイト\", \"asin\": null, \"sku\": \"BOTTLE-W-500\", \"quantity\": 1}]", "also_mentioned": [], "reason": "誤って注文した", "excerpt": null, "order_date": null, "ship_by": null, "sender_domain": "amazon.co.jp"}',1.79612124783335804943e+09,0.0,1,0,'passing',NULL,NULL,NULL,1.79612124787361788751e+09,1);
CREATE TABLE reading (
        account TEXT NOT NULL, folder TEXT NOT NULL, uidvalidity INTEGER NOT NULL, uid INTEGER NOT NULL,
        received INTEGER NOT NULL, size INTEGER NOT NULL,
        begun INTEGER NOT NULL DEFAULT 0, failed INTEGER NOT NULL DEFAULT 0, died INTEGER NOT NULL DEFAULT 0, since REAL, process TEXT,
        PRIMARY KEY (account, folder, uidvalidity, uid, received, size)
    ) WITHOUT ROWID;
CREATE TABLE refusal (account TEXT PRIMARY KEY, count INTEGER NOT NULL, at REAL NOT NULL) WITHOUT ROWID;
CREATE TABLE report (name TEXT PRIMARY KEY, at REAL NOT NULL, totals TEXT NOT NULL) WITHOUT ROWID;
INSERT INTO "report" VALUES('morning',1796121245.75312,'{"mails": 0, "known": 0, "missed": 0, "forged": 0}');
INSERT INTO "report" VALUES('run',1.79612124564900898929e+09,'{}');
CREATE TABLE request (
        id INTEGER PRIMARY KEY, identity BLOB NOT NULL UNIQUE, seller TEXT NOT NULL, order_id TEXT,
        marketplace TEXT, kind TEXT NOT NULL, trust TEXT NOT NULL, state TEXT NOT NULL,
        opened_at INTEGER NOT NULL, asked INTEGER NOT NULL DEFAULT 1, items TEXT NOT NULL
    , marketplace_basis INTEGER NOT NULL DEFAULT 0, marketplace_trust TEXT NOT NULL DEFAULT 'forged', undelivered_at REAL);
INSERT INTO "request" VALUES(1,X'A99CD3264E4DE082782CEDA3556985C48545055A3CC2145D','shop','503-1000001-2000007','JP','request','verified','open',1793502000,1,'[{"title": "11e824fe90ed87d0f4772d1a2b818c82545f4540dde88400", "asin": null, "sku": "BOTTLE-W-500", "quantity": 1}]',2,'verified',NULL);
INSERT INTO "request" VALUES(2,X'8D8CB67F433216169EE2E748A064BA893B114F9025D478D4','shop','503-1000002-2000014','JP','request','verified','done',1793502000,1,'[{"title": "11e824fe90ed87d0f4772d1a2b818c82545f4540dde88400", "asin": null, "sku": "BOTTLE-W-500", "quantity": 1}]',2,'verified',NULL);
INSERT INTO "request" VALUES(3,X'4C6EC36326768BA548A7F7C8C997409C0AF92822811AB85F','shop','503-1000003-2000021','JP','request','verified','open',1793502000,1,'[{"title": "11e824fe90ed87d0f4772d1a2b818c82545f4540dde88400", "asin": null, "sku": "BOTTLE-W-500", "quantity": 1}]',2,'verified',NULL);
CREATE TABLE secret (id INTEGER PRIMARY KEY CHECK (id = 1), hash_key BLOB NOT NULL);
INSERT INTO "secret" VALUES(1,X'ED4FC196729FAEB1811C26145AF6A535D66BA9AF4AC66BF6666C24BF8F3F98A4');
CREATE TABLE sighting (
        id INTEGER PRIMARY KEY, request INTEGER NOT NULL REFERENCES request ON DELETE CASCADE,
        at INTEGER NOT NULL, kind TEXT NOT NULL, trust TEXT NOT NULL, route TEXT, items TEXT NOT NULL,
        account TEXT NOT NULL, folder TEXT NOT NULL, decision TEXT NOT NULL
    );
INSERT INTO "sighting" VALUES(1,1,1793502000,'request','verified','notification','[{"title": "11e824fe90ed87d0f4772d1a2b818c82545f4540dde88400", "asin": null, "sku": "BOTTLE-W-500", "quantity": 1}]','shop','INBOX','open');
INSERT INTO "sighting" VALUES(2,2,1793502000,'request','verified','notification','[{"title": "11e824fe90ed87d0f4772d1a2b818c82545f4540dde88400", "asin": null, "sku": "BOTTLE-W-500", "quantity": 1}]','shop','INBOX','open');
INSERT INTO "sighting" VALUES(3,3,1793502000,'request','verified','notification','[{"title": "11e824fe90ed87d0f4772d1a2b818c82545f4540dde88400", "asin": null, "sku": "BOTTLE-W-500", "quantity": 1}]','shop','INBOX','open');
CREATE TABLE unverified (
        id INTEGER PRIMARY KEY, at REAL NOT NULL, request INTEGER REFERENCES request ON DELETE CASCADE,
        kind TEXT NOT NULL, order_id TEXT, state TEXT NOT NULL
    , rewritten INTEGER NOT NULL DEFAULT 0);
CREATE INDEX sighting_by_request ON sighting (request);
CREATE INDEX outbox_owed ON outbox (channel, number) WHERE settled_at IS NULL;
CREATE INDEX outbox_by_root ON outbox (root) WHERE root IS NOT NULL;
CREATE INDEX unverified_by_state ON unverified (state, at);
CREATE INDEX unverified_by_request ON unverified (request);
DELETE FROM "sqlite_sequence";
INSERT INTO "sqlite_sequence" VALUES('outbox',3);
COMMIT;
PRAGMA user_version = 4;
