BEGIN TRANSACTION;
CREATE TABLE channel (name TEXT PRIMARY KEY, last_success REAL, not_before REAL, trying_since REAL, failures INTEGER NOT NULL DEFAULT 0, failed_at REAL, outcome TEXT, why TEXT, cause TEXT, url BLOB, month TEXT, sent INTEGER NOT NULL DEFAULT 0) WITHOUT ROWID;
INSERT INTO "channel" VALUES('slack',1.79611659344696497912e+09,1.79611659763946247096e+09,1.79611659392845606801e+09,1,1.79611659470194602009e+09,'passing','HTTP 503','server',X'B24AC668A5949567FCD204E8EED760D7057849C74E9D6FF5','2026-12',2);
CREATE TABLE content (
        seller TEXT NOT NULL, key BLOB NOT NULL, trust TEXT NOT NULL,
        PRIMARY KEY (seller, key)
    ) WITHOUT ROWID;
INSERT INTO "content" VALUES('shop',X'1A057BD69AF77DAB7D190F59C8E361BA0E3BFC0B5A59F771','verified');
INSERT INTO "content" VALUES('shop',X'9CD3FB7965FE65727D9A4F8ECC14047B7B637C90EA969A61','verified');
INSERT INTO "content" VALUES('shop',X'E07B9E0F4876AC6464B92E341BACA041F314BB921BFA718F','verified');
CREATE TABLE counter (name TEXT PRIMARY KEY, total INTEGER NOT NULL) WITHOUT ROWID;
CREATE TABLE fault (
        key TEXT PRIMARY KEY, fault TEXT NOT NULL, began REAL NOT NULL, told REAL NOT NULL
    ) WITHOUT ROWID;
CREATE TABLE folder (
        account TEXT NOT NULL, folder TEXT NOT NULL, uidvalidity INTEGER, floor INTEGER NOT NULL,
        mode TEXT NOT NULL, last_good_search REAL, mails_seen INTEGER NOT NULL DEFAULT 0, watched_as TEXT, singles INTEGER NOT NULL DEFAULT 0,
        PRIMARY KEY (account, folder)
    ) WITHOUT ROWID;
INSERT INTO "folder" VALUES('shop','INBOX',1650000000,0,'idle',1.79611659377986407283e+09,3,'INBOX',0);
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
INSERT INTO "outbox" VALUES(1,'a66e4777-93ab-401a-a851-014653e8d8cf','slack',1,'{}',1.79611658545342803001e+09,0.0,1,1,'accepted',1.79611659334813690189e+09,NULL,NULL,1.79611658609965300558e+09);
INSERT INTO "outbox" VALUES(2,'e5f6ec50-14a2-4b20-8da9-5bf8e00ed880','slack',2,'{}',1.79611658674460697177e+09,0.0,1,1,'accepted',1.79611659344696497912e+09,NULL,NULL,1.79611659342910408971e+09);
INSERT INTO "outbox" VALUES(3,'2f15d0d9-c221-43ab-8955-bc560664848a','slack',3,'{"kind": "request", "why": "first of its order", "trust": "verified", "seller": "shop", "order_id": "503-1000003-2000021", "marketplace": "JP", "received": 1793502000, "account": "shop", "folder": "INBOX", "items": "[{\"title\": \"ステンレス水筒 500ml ホワイト\", \"asin\": null, \"sku\": \"BOTTLE-W-500\", \"quantity\": 1}]", "also_mentioned": [], "reason": "誤って注文した", "excerpt": null, "order_date": null, "ship_by": null, "sender_domain": "amazon.co.jp"}',1.79611659374007201191e+09,0.0,1,0,'passing',NULL,NULL,NULL,1.79611659392845606801e+09);
CREATE TABLE reading (
        account TEXT NOT NULL, folder TEXT NOT NULL, uidvalidity INTEGER NOT NULL, uid INTEGER NOT NULL,
        received INTEGER NOT NULL, size INTEGER NOT NULL, tries INTEGER NOT NULL,
        PRIMARY KEY (account, folder, uidvalidity, uid, received, size)
    ) WITHOUT ROWID;
CREATE TABLE refusal (account TEXT PRIMARY KEY, count INTEGER NOT NULL, at REAL NOT NULL) WITHOUT ROWID;
CREATE TABLE report (name TEXT PRIMARY KEY, at REAL NOT NULL, totals TEXT NOT NULL) WITHOUT ROWID;
INSERT INTO "report" VALUES('morning',1.79611658333156299586e+09,'{"mails": 0, "known": 0, "missed": 0, "forged": 0}');
INSERT INTO "report" VALUES('run',1.79611658299420905117e+09,'{}');
CREATE TABLE request (
        id INTEGER PRIMARY KEY, identity BLOB NOT NULL UNIQUE, seller TEXT NOT NULL, order_id TEXT,
        marketplace TEXT, kind TEXT NOT NULL, trust TEXT NOT NULL, state TEXT NOT NULL,
        opened_at INTEGER NOT NULL, asked INTEGER NOT NULL DEFAULT 1, items TEXT NOT NULL
    );
INSERT INTO "request" VALUES(1,X'DD50633C1D1EF1D238D02E3504FA31390750506599AB6C1E','shop','503-1000001-2000007','JP','request','verified','open',1793502000,1,'[{"title": "12946d43951bebad0efbfb0e870f1fe5361ccb354381b899", "asin": null, "sku": "BOTTLE-W-500", "quantity": 1}]');
INSERT INTO "request" VALUES(2,X'A668ED162FB38EBF4AD53DE3BFFACFBAC2ADCC21AF62527A','shop','503-1000002-2000014','JP','request','verified','done',1793502000,1,'[{"title": "12946d43951bebad0efbfb0e870f1fe5361ccb354381b899", "asin": null, "sku": "BOTTLE-W-500", "quantity": 1}]');
INSERT INTO "request" VALUES(3,X'2ADF7EA000DCB53B46685C7CD6911977BEB97DE726A7314C','shop','503-1000003-2000021','JP','request','verified','open',1793502000,1,'[{"title": "12946d43951bebad0efbfb0e870f1fe5361ccb354381b899", "asin": null, "sku": "BOTTLE-W-500", "quantity": 1}]');
CREATE TABLE secret (id INTEGER PRIMARY KEY CHECK (id = 1), hash_key BLOB NOT NULL);
INSERT INTO "secret" VALUES(1,X'0D5FA333E89AE5CF8A67B3DE0014831DC89B3E74256476D5AE21F5F224AE7A19');
CREATE TABLE sighting (
        id INTEGER PRIMARY KEY, request INTEGER NOT NULL REFERENCES request ON DELETE CASCADE,
        at INTEGER NOT NULL, kind TEXT NOT NULL, trust TEXT NOT NULL, route TEXT, items TEXT NOT NULL,
        account TEXT NOT NULL, folder TEXT NOT NULL, decision TEXT NOT NULL
    );
INSERT INTO "sighting" VALUES(1,1,1793502000,'request','verified','notification','[{"title": "12946d43951bebad0efbfb0e870f1fe5361ccb354381b899", "asin": null, "sku": "BOTTLE-W-500", "quantity": 1}]','shop','INBOX','open');
INSERT INTO "sighting" VALUES(2,2,1793502000,'request','verified','notification','[{"title": "12946d43951bebad0efbfb0e870f1fe5361ccb354381b899", "asin": null, "sku": "BOTTLE-W-500", "quantity": 1}]','shop','INBOX','open');
INSERT INTO "sighting" VALUES(3,3,1793502000,'request','verified','notification','[{"title": "12946d43951bebad0efbfb0e870f1fe5361ccb354381b899", "asin": null, "sku": "BOTTLE-W-500", "quantity": 1}]','shop','INBOX','open');
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
