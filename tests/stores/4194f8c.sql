BEGIN TRANSACTION;
CREATE TABLE channel (name TEXT PRIMARY KEY, last_success REAL, not_before REAL, trying_since REAL, failures INTEGER NOT NULL DEFAULT 0, failed_at REAL, outcome TEXT, why TEXT, cause TEXT, url BLOB, month TEXT, sent INTEGER NOT NULL DEFAULT 0) WITHOUT ROWID;
INSERT INTO "channel" VALUES('slack',1.79611659235580110546e+09,1.79611659715356254576e+09,1.79611659250299501421e+09,1,1.79611659273255610462e+09,'passing','HTTP 503','server',X'F1D8934D912A54FE99BACAEEF57754E130886C41355AF648','2026-12',2);
CREATE TABLE content (
        seller TEXT NOT NULL, key BLOB NOT NULL, trust TEXT NOT NULL,
        PRIMARY KEY (seller, key)
    ) WITHOUT ROWID;
INSERT INTO "content" VALUES('shop',X'0DBE56C1B34BA9348AF848B020FE0B84BC5756DDAA9AFABF','verified');
INSERT INTO "content" VALUES('shop',X'3C6372F6E75EFF579E96D423748393202B677241D80F9563','verified');
INSERT INTO "content" VALUES('shop',X'ACDC474BC7DA6D7584C3B81DE1F7FDBB86E7775BB56A50F8','verified');
CREATE TABLE counter (name TEXT PRIMARY KEY, total INTEGER NOT NULL) WITHOUT ROWID;
CREATE TABLE fault (
        key TEXT PRIMARY KEY, fault TEXT NOT NULL, began REAL NOT NULL, told REAL NOT NULL
    ) WITHOUT ROWID;
CREATE TABLE folder (
        account TEXT NOT NULL, folder TEXT NOT NULL, uidvalidity INTEGER, floor INTEGER NOT NULL,
        mode TEXT NOT NULL, last_good_search REAL, mails_seen INTEGER NOT NULL DEFAULT 0, watched_as TEXT, singles INTEGER NOT NULL DEFAULT 0,
        PRIMARY KEY (account, folder)
    ) WITHOUT ROWID;
INSERT INTO "folder" VALUES('shop','INBOX',1650000000,0,'idle',1.79611659244793105127e+09,3,'INBOX',0);
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
INSERT INTO "outbox" VALUES(1,'f5557ea9-4201-4e6f-a578-feacac78d861','slack',1,'{}',1.79611658648019790647e+09,0.0,1,1,'accepted',1.79611659202652502054e+09,NULL,NULL,1.79611658665275692944e+09);
INSERT INTO "outbox" VALUES(2,'bb10bb73-64fb-4a2b-9679-21c69e4a2387','slack',2,'{}',1.7961165868777849674e+09,0.0,1,1,'accepted',1.79611659235580110546e+09,NULL,NULL,1.79611659208113098144e+09);
INSERT INTO "outbox" VALUES(3,'da5af960-647a-49da-9c5a-3d54beb5d808','slack',3,'{"kind": "request", "why": "first of its order", "trust": "verified", "seller": "shop", "order_id": "503-1000003-2000021", "marketplace": "JP", "received": 1793502000, "account": "shop", "folder": "INBOX", "items": "[{\"title\": \"ステンレス水筒 500ml ホワイト\", \"asin\": null, \"sku\": \"BOTTLE-W-500\", \"quantity\": 1}]", "also_mentioned": [], "reason": "誤って注文した", "excerpt": null, "order_date": null, "ship_by": null, "sender_domain": "amazon.co.jp"}',1.79611659242387700086e+09,0.0,1,0,'passing',NULL,NULL,NULL,1.79611659250299501421e+09);
CREATE TABLE reading (
        account TEXT NOT NULL, folder TEXT NOT NULL, uidvalidity INTEGER NOT NULL, uid INTEGER NOT NULL,
        received INTEGER NOT NULL, size INTEGER NOT NULL,
        begun INTEGER NOT NULL DEFAULT 0, failed INTEGER NOT NULL DEFAULT 0,
        PRIMARY KEY (account, folder, uidvalidity, uid, received, size)
    ) WITHOUT ROWID;
CREATE TABLE refusal (account TEXT PRIMARY KEY, count INTEGER NOT NULL, at REAL NOT NULL) WITHOUT ROWID;
CREATE TABLE report (name TEXT PRIMARY KEY, at REAL NOT NULL, totals TEXT NOT NULL) WITHOUT ROWID;
INSERT INTO "report" VALUES('morning',1.79611658369217896459e+09,'{"mails": 0, "known": 0, "missed": 0, "forged": 0}');
INSERT INTO "report" VALUES('run',1796116583.08846,'{}');
CREATE TABLE request (
        id INTEGER PRIMARY KEY, identity BLOB NOT NULL UNIQUE, seller TEXT NOT NULL, order_id TEXT,
        marketplace TEXT, kind TEXT NOT NULL, trust TEXT NOT NULL, state TEXT NOT NULL,
        opened_at INTEGER NOT NULL, asked INTEGER NOT NULL DEFAULT 1, items TEXT NOT NULL
    );
INSERT INTO "request" VALUES(1,X'2184594F6C64FEA21CB16AE2E25A681BE0C18A9F3F6FCF39','shop','503-1000001-2000007','JP','request','verified','open',1793502000,1,'[{"title": "24260582f3463a168b9ec23c079f525e850709d59ffd25b6", "asin": null, "sku": "BOTTLE-W-500", "quantity": 1}]');
INSERT INTO "request" VALUES(2,X'FEB499522C6B9DBEE4914D2FFB28A2E16299250BDE38EDF1','shop','503-1000002-2000014','JP','request','verified','done',1793502000,1,'[{"title": "24260582f3463a168b9ec23c079f525e850709d59ffd25b6", "asin": null, "sku": "BOTTLE-W-500", "quantity": 1}]');
INSERT INTO "request" VALUES(3,X'097ACE32C4EA63622DCE134E08E79B52EFCA07E3565EAD78','shop','503-1000003-2000021','JP','request','verified','open',1793502000,1,'[{"title": "24260582f3463a168b9ec23c079f525e850709d59ffd25b6", "asin": null, "sku": "BOTTLE-W-500", "quantity": 1}]');
CREATE TABLE secret (id INTEGER PRIMARY KEY CHECK (id = 1), hash_key BLOB NOT NULL);
INSERT INTO "secret" VALUES(1,X'19F5100F7B0598F5F2F45C5FCED16E2196CE2E2729BA59B98A166AA7C1FC8045');
CREATE TABLE sighting (
        id INTEGER PRIMARY KEY, request INTEGER NOT NULL REFERENCES request ON DELETE CASCADE,
        at INTEGER NOT NULL, kind TEXT NOT NULL, trust TEXT NOT NULL, route TEXT, items TEXT NOT NULL,
        account TEXT NOT NULL, folder TEXT NOT NULL, decision TEXT NOT NULL
    );
INSERT INTO "sighting" VALUES(1,1,1793502000,'request','verified','notification','[{"title": "24260582f3463a168b9ec23c079f525e850709d59ffd25b6", "asin": null, "sku": "BOTTLE-W-500", "quantity": 1}]','shop','INBOX','open');
INSERT INTO "sighting" VALUES(2,2,1793502000,'request','verified','notification','[{"title": "24260582f3463a168b9ec23c079f525e850709d59ffd25b6", "asin": null, "sku": "BOTTLE-W-500", "quantity": 1}]','shop','INBOX','open');
INSERT INTO "sighting" VALUES(3,3,1793502000,'request','verified','notification','[{"title": "24260582f3463a168b9ec23c079f525e850709d59ffd25b6", "asin": null, "sku": "BOTTLE-W-500", "quantity": 1}]','shop','INBOX','open');
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
