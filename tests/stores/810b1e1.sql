BEGIN TRANSACTION;
CREATE TABLE channel (name TEXT PRIMARY KEY, last_success REAL) WITHOUT ROWID;
INSERT INTO "channel" VALUES('slack',1.79611659824279189107e+09);
CREATE TABLE content (
        seller TEXT NOT NULL, key BLOB NOT NULL, trust TEXT NOT NULL,
        PRIMARY KEY (seller, key)
    ) WITHOUT ROWID;
INSERT INTO "content" VALUES('shop',X'3C97DCC62E34CD9CFE9088AEE77B9A763298E2759610B9E7','verified');
INSERT INTO "content" VALUES('shop',X'7C5FFCC7E80D8D0680A4F2C4825137FE13928A55727AD52A','verified');
INSERT INTO "content" VALUES('shop',X'C6DC59244D864C3BBFB460CD1FC028BDF3788A757418D1F1','verified');
CREATE TABLE folder (
        account TEXT NOT NULL, folder TEXT NOT NULL, uidvalidity INTEGER, floor INTEGER NOT NULL,
        mode TEXT NOT NULL, last_good_search REAL, mails_seen INTEGER NOT NULL DEFAULT 0,
        PRIMARY KEY (account, folder)
    ) WITHOUT ROWID;
INSERT INTO "folder" VALUES('shop','INBOX',1650000000,0,'idle',1.79611659848452806477e+09,3);
CREATE TABLE mail (
        account TEXT NOT NULL, folder TEXT NOT NULL, uidvalidity INTEGER NOT NULL, uid INTEGER NOT NULL,
        received INTEGER NOT NULL, size INTEGER NOT NULL,
        PRIMARY KEY (account, folder, uidvalidity, uid, received, size)
    ) WITHOUT ROWID;
INSERT INTO "mail" VALUES('shop','INBOX',1650000000,1,1793502000,925);
INSERT INTO "mail" VALUES('shop','INBOX',1650000000,2,1793502000,924);
INSERT INTO "mail" VALUES('shop','INBOX',1650000000,3,1793502000,925);
CREATE TABLE outbox (
        number INTEGER PRIMARY KEY AUTOINCREMENT, id TEXT NOT NULL UNIQUE, channel TEXT NOT NULL,
        request INTEGER REFERENCES request ON DELETE SET NULL, alert TEXT NOT NULL,
        created_at REAL NOT NULL, next_attempt REAL NOT NULL, attempts INTEGER NOT NULL DEFAULT 0,
        unsure INTEGER NOT NULL DEFAULT 0, outcome TEXT, settled_at REAL
    );
INSERT INTO "outbox" VALUES(1,'714667b9-e45f-48e6-bf99-dd7078c61328','slack',1,'{}',1.79611658373628807071e+09,1.79611658373628807071e+09,1,1,'accepted',1.79611659810391211507e+09);
INSERT INTO "outbox" VALUES(2,'7b3f0eb8-4495-4da0-bb38-7e924eec7c51','slack',2,'{}',1.79611658451477503774e+09,1.79611658451477503774e+09,1,1,'accepted',1.79611659824279189107e+09);
INSERT INTO "outbox" VALUES(3,'531cb1a4-8903-4ffc-9f52-a8cef06a478e','slack',3,'{"kind": "request", "why": "first of its order", "trust": "verified", "seller": "shop", "order_id": "503-1000003-2000021", "marketplace": "JP", "received": 1793502000, "account": "shop", "folder": "INBOX", "items": "[{\"title\": \"ステンレス水筒 500ml ホワイト\", \"asin\": null, \"sku\": \"BOTTLE-W-500\", \"quantity\": 1}]", "also_mentioned": [], "reason": "誤って注文した", "excerpt": null, "order_date": null, "ship_by": null, "sender_domain": "amazon.co.jp"}',1.79611659839357209206e+09,1.79611660375146722787e+09,1,0,'passing',NULL);
CREATE TABLE request (
        id INTEGER PRIMARY KEY, identity BLOB NOT NULL UNIQUE, seller TEXT NOT NULL, order_id TEXT,
        marketplace TEXT, kind TEXT NOT NULL, trust TEXT NOT NULL, state TEXT NOT NULL,
        opened_at INTEGER NOT NULL, asked INTEGER NOT NULL DEFAULT 1, items TEXT NOT NULL
    );
INSERT INTO "request" VALUES(1,X'B02200605A788B789DEADF3BFD6069294D7A1E40CB67871C','shop','503-1000001-2000007','JP','request','verified','open',1793502000,1,'[{"title": "3ad4cf34d9fed163554853643624045739a109835bb1a44d", "asin": null, "sku": "BOTTLE-W-500", "quantity": 1}]');
INSERT INTO "request" VALUES(2,X'5E6B3EB2DFCAF497A4FF40EFB4CF6D0792CBE84B50285580','shop','503-1000002-2000014','JP','request','verified','done',1793502000,1,'[{"title": "3ad4cf34d9fed163554853643624045739a109835bb1a44d", "asin": null, "sku": "BOTTLE-W-500", "quantity": 1}]');
INSERT INTO "request" VALUES(3,X'1B4A6318CE6772FC26DB6C0319ACE16AE5B4A78A10945441','shop','503-1000003-2000021','JP','request','verified','open',1793502000,1,'[{"title": "3ad4cf34d9fed163554853643624045739a109835bb1a44d", "asin": null, "sku": "BOTTLE-W-500", "quantity": 1}]');
CREATE TABLE secret (id INTEGER PRIMARY KEY CHECK (id = 1), hash_key BLOB NOT NULL);
INSERT INTO "secret" VALUES(1,X'0145A89600E2C264DB5B42BF49C4B0CD450082F9FDECB2BF7E60C70F5498290D');
CREATE TABLE sighting (
        id INTEGER PRIMARY KEY, request INTEGER NOT NULL REFERENCES request ON DELETE CASCADE,
        at INTEGER NOT NULL, kind TEXT NOT NULL, trust TEXT NOT NULL, route TEXT, items TEXT NOT NULL,
        account TEXT NOT NULL, folder TEXT NOT NULL, decision TEXT NOT NULL
    );
INSERT INTO "sighting" VALUES(1,1,1793502000,'request','verified','notification','[{"title": "3ad4cf34d9fed163554853643624045739a109835bb1a44d", "asin": null, "sku": "BOTTLE-W-500", "quantity": 1}]','shop','INBOX','open');
INSERT INTO "sighting" VALUES(2,2,1793502000,'request','verified','notification','[{"title": "3ad4cf34d9fed163554853643624045739a109835bb1a44d", "asin": null, "sku": "BOTTLE-W-500", "quantity": 1}]','shop','INBOX','open');
INSERT INTO "sighting" VALUES(3,3,1793502000,'request','verified','notification','[{"title": "3ad4cf34d9fed163554853643624045739a109835bb1a44d", "asin": null, "sku": "BOTTLE-W-500", "quantity": 1}]','shop','INBOX','open');
CREATE INDEX sighting_by_request ON sighting (request);
CREATE INDEX outbox_owed ON outbox (channel, number) WHERE settled_at IS NULL;
DELETE FROM "sqlite_sequence";
INSERT INTO "sqlite_sequence" VALUES('outbox',3);
COMMIT;
PRAGMA user_version = 1;
