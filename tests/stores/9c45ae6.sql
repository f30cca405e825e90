BEGIN TRANSACTION;
CREATE TABLE channel (name TEXT PRIMARY KEY, last_success REAL, not_before REAL, trying_since REAL, failures INTEGER NOT NULL DEFAULT 0, failed_at REAL, outcome TEXT, why TEXT, cause TEXT, url BLOB, month TEXT, sent INTEGER NOT NULL DEFAULT 0) WITHOUT ROWID;
INSERT INTO "channel" VALUES('slack',1796118169.79967,1.79611817278784275057e+09,1796118169.97629,1,1.79611817004237699513e+09,'passing','HTTP 503','server',X'D361F116CC277CE798DE64FFD3BE3B257736792241E4DE4D','2026-12',2);
CREATE TABLE content (
        seller TEXT NOT NULL, key BLOB NOT NULL, trust TEXT NOT NULL,
        PRIMARY KEY (seller, key)
    ) WITHOUT ROWID;
INSERT INTO "content" VALUES('shop',X'35AFA6B990510CAC29A5DF62FBA93130A6B675EB88B471F8','verified');
INSERT INTO "content" VALUES('shop',X'6B1408C9DF84AB4548E838916348435C79A9ED0F34720ABE','verified');
INSERT INTO "content" VALUES('shop',X'98CC810ADF8367F826FCFFC6E3397B33DB5EF7EAD58EC43A','verified');
CREATE TABLE counter (name TEXT PRIMARY KEY, total INTEGER NOT NULL) WITHOUT ROWID;
CREATE TABLE fault (
        key TEXT PRIMARY KEY, fault TEXT NOT NULL, began REAL NOT NULL, told REAL NOT NULL
    ) WITHOUT ROWID;
CREATE TABLE folder (
        account TEXT NOT NULL, folder TEXT NOT NULL, uidvalidity INTEGER, floor INTEGER NOT NULL,
        mode TEXT NOT NULL, last_good_search REAL, mails_seen INTEGER NOT NULL DEFAULT 0, watched_as TEXT, singles INTEGER NOT NULL DEFAULT 0,
        PRIMARY KEY (account, folder)
    ) WITHOUT ROWID;
INSERT INTO "folder" VALUES('shop','INBOX',1650000000,0,'idle',1.79611816992279601091e+09,3,'INBOX',0);
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
INSERT INTO "outbox" VALUES(1,'d7c2e708-57be-426f-83c5-94f19a8e22bd','slack',1,'{}',1.79611816726563811299e+09,0.0,1,1,'accepted',1.79611816969958496088e+09,NULL,NULL,1796118167.43856,0);
INSERT INTO "outbox" VALUES(2,'46909c00-39d1-451c-80d3-8ffd82f0da92','slack',2,'{}',1.79611816740242600434e+09,0.0,1,1,'accepted',1796118169.79967,NULL,NULL,1.79611816974232101442e+09,0);
INSERT INTO "outbox" VALUES(3,'c22d4a85-659a-413b-b748-0d617549f327','slack',3,'{"kind": "request", "why": "first of its order", "trust": "verified", "seller": "shop", "order_id": "503-1000003-2000021", "marketplace": "JP", "received": 1793502000, "account": "shop", "folder": "INBOX", "items": "[{\"title\": \"ステンレス水筒 500ml ホワイト\", \"asin\": null, \"sku\": \"BOTTLE-W-500\", \"quantity\": 1}]", "also_mentioned": [], "reason": "誤って注文した", "excerpt": null, "order_date": null, "ship_by": null, "sender_domain": "amazon.co.jp"}',1.7961181698797240257e+09,0.0,1,0,'passing',NULL,NULL,NULL,1796118169.97629,1);
CREATE TABLE reading (
        account TEXT NOT NULL, folder TEXT NOT NULL, uidvalidity INTEGER NOT NULL, uid INTEGER NOT NULL,
        received INTEGER NOT NULL, size INTEGER NOT NULL,
        begun INTEGER NOT NULL DEFAULT 0, failed INTEGER NOT NULL DEFAULT 0, died INTEGER NOT NULL DEFAULT 0, since REAL, process TEXT,
        PRIMARY KEY (account, folder, uidvalidity, uid, received, size)
    ) WITHOUT ROWID;
CREATE TABLE refusal (account TEXT PRIMARY KEY, count INTEGER NOT NULL, at REAL NOT NULL) WITHOUT ROWID;
CREATE TABLE report (name TEXT PRIMARY KEY, at REAL NOT NULL, totals TEXT NOT NULL) WITHOUT ROWID;
INSERT INTO "report" VALUES('morning',1.7961181668796539307e+09,'{"mails": 0, "known": 0, "missed": 0, "forged": 0}');
INSERT INTO "report" VALUES('run',1.79611816677676105506e+09,'{}');
CREATE TABLE request (
        id INTEGER PRIMARY KEY, identity BLOB NOT NULL UNIQUE, seller TEXT NOT NULL, order_id TEXT,
        marketplace TEXT, kind TEXT NOT NULL, trust TEXT NOT NULL, state TEXT NOT NULL,
        opened_at INTEGER NOT NULL, asked INTEGER NOT NULL DEFAULT 1, items TEXT NOT NULL
    );
INSERT INTO "request" VALUES(1,X'D02296E7F6A05EDCC4A07B83B33C50D5A95067326F73726B','shop','503-1000001-2000007','JP','request','verified','open',1793502000,1,'[{"title": "135d3ac8bb8bed53b23fbe67203424eb4df6b33a36d403a2", "asin": null, "sku": "BOTTLE-W-500", "quantity": 1}]');
INSERT INTO "request" VALUES(2,X'12309352035D9B6E3F9DA738DD7EFCD422F3A0EF2AC2061F','shop','503-1000002-2000014','JP','request','verified','done',1793502000,1,'[{"title": "135d3ac8bb8bed53b23fbe67203424eb4df6b33a36d403a2", "asin": null, "sku": "BOTTLE-W-500", "quantity": 1}]');
INSERT INTO "request" VALUES(3,X'520BB9D30D1A69FEAFA5C24A9C037BDEE556EE5252C65912','shop','503-1000003-2000021','JP','request','verified','open',1793502000,1,'[{"title": "135d3ac8bb8bed53b23fbe67203424eb4df6b33a36d403a2", "asin": null, "sku": "BOTTLE-W-500", "quantity": 1}]');
CREATE TABLE secret (id INTEGER PRIMARY KEY CHECK (id = 1), hash_key BLOB NOT NULL);
INSERT INTO "secret" VALUES(1,X'06A983E5F836C47C6603618E29226DBFD6560F0C9F09199DE8732F21B0AE5CAE');
CREATE TABLE sighting (
        id INTEGER PRIMARY KEY, request INTEGER NOT NULL REFERENCES request ON DELETE CASCADE,
        at INTEGER NOT NULL, kind TEXT NOT NULL, trust TEXT NOT NULL, route TEXT, items TEXT NOT NULL,
        account TEXT NOT NULL, folder TEXT NOT NULL, decision TEXT NOT NULL
    );
INSERT INTO "sighting" VALUES(1,1,1793502000,'request','verified','notification','[{"title": "135d3ac8bb8bed53b23fbe67203424eb4df6b33a36d403a2", "asin": null, "sku": "BOTTLE-W-500", "quantity": 1}]','shop','INBOX','open');
INSERT INTO "sighting" VALUES(2,2,1793502000,'request','verified','notification','[{"title": "135d3ac8bb8bed53b23fbe67203424eb4df6b33a36d403a2", "asin": null, "sku": "BOTTLE-W-500", "quantity": 1}]','shop','INBOX','open');
INSERT INTO "sighting" VALUES(3,3,1793502000,'request','verified','notification','[{"title": "135d3ac8bb8bed53b23fbe67203424eb4df6b33a36d403a2", "asin": null, "sku": "BOTTLE-W-500", "quantity": 1}]','shop','INBOX','open');
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
PRAGMA user_version = 3;
