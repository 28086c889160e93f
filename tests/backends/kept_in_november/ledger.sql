BEGIN TRANSACTION;
CREATE TABLE evaluations (
    key TEXT PRIMARY KEY, run TEXT NOT NULL, backend TEXT NOT NULL, device TEXT NOT NULL, folder TEXT NOT NULL,
    chunks INTEGER NOT NULL, batch_id TEXT, holder TEXT, created TEXT NOT NULL
);
INSERT INTO "evaluations" VALUES('0123456789abcdef','runs/tiny','ibm_manila:shots=64,resilience=0','ibm_manila','FOLDER',3,NULL,'process 17635','2026-11-28T12:02:05.730+00:00');
CREATE TABLE jobs (
    id INTEGER PRIMARY KEY, tag TEXT NOT NULL, key TEXT NOT NULL REFERENCES evaluations(key), digest TEXT NOT NULL,
    run TEXT NOT NULL, backend TEXT NOT NULL, chunk INTEGER NOT NULL, attempt INTEGER NOT NULL, state TEXT NOT NULL,
    job_id TEXT UNIQUE, batch_id TEXT, instance TEXT, estimated_seconds REAL NOT NULL, charged_seconds REAL,
    result TEXT, reason TEXT, created TEXT NOT NULL, updated TEXT NOT NULL
);
INSERT INTO "jobs" VALUES(1,'hybridq-0123456789abcdef-18f3b487-000-1','0123456789abcdef','15a9122655b4010999bf0fb915dd9ee99a15f6fce7bad89db75174136733e6cb','runs/tiny','ibm_manila:shots=64,resilience=0',0,1,'done','043842a06bfa42b29ab5','35a56195-e6ea-45e5-905b-c4d38ce662ca','crn:v1:bluemix:public:quantum-computing:us-east:a/00000000:11111111-2222-3333-4444-555555555555::',2.1,2.032,'FOLDER/results/chunk-000-043842a06bfa42b29ab5.json',NULL,'2026-11-28T12:02:05.872+00:00','2026-11-28T12:02:06.632+00:00');
INSERT INTO "jobs" VALUES(2,'hybridq-0123456789abcdef-18f3b487-001-1','0123456789abcdef','15a9122655b4010999bf0fb915dd9ee99a15f6fce7bad89db75174136733e6cb','runs/tiny','ibm_manila:shots=64,resilience=0',1,1,'failed','55e3907898704b3d8038','35a56195-e6ea-45e5-905b-c4d38ce662ca','crn:v1:bluemix:public:quantum-computing:us-east:a/00000000:11111111-2222-3333-4444-555555555555::',2.1,0.0,NULL,'The device became unavailable','2026-11-28T12:02:06.125+00:00','2026-11-28T12:02:06.660+00:00');
INSERT INTO "jobs" VALUES(3,'hybridq-0123456789abcdef-18f3b487-002-1','0123456789abcdef','15a9122655b4010999bf0fb915dd9ee99a15f6fce7bad89db75174136733e6cb','runs/tiny','ibm_manila:shots=64,resilience=0',2,1,'done','2c57caa33d2a4d40ae91','35a56195-e6ea-45e5-905b-c4d38ce662ca','crn:v1:bluemix:public:quantum-computing:us-east:a/00000000:11111111-2222-3333-4444-555555555555::',2.1,2.032,'FOLDER/results/chunk-002-2c57caa33d2a4d40ae91.json',NULL,'2026-11-28T12:02:06.264+00:00','2026-11-28T12:02:06.782+00:00');
INSERT INTO "jobs" VALUES(4,'hybridq-0123456789abcdef-18f3b487-001-2','0123456789abcdef','15a9122655b4010999bf0fb915dd9ee99a15f6fce7bad89db75174136733e6cb','runs/tiny','ibm_manila:shots=64,resilience=0',1,2,'done','b3f6b0db46cd4bcf8649','320e712f-965b-4d0b-861f-1db1b369d78f','crn:v1:bluemix:public:quantum-computing:us-east:a/00000000:11111111-2222-3333-4444-555555555555::',2.1,2.032,'FOLDER/results/chunk-001-b3f6b0db46cd4bcf8649.json',NULL,'2026-11-28T12:02:07.124+00:00','2026-11-28T12:02:07.481+00:00');
CREATE TABLE ledger (id TEXT NOT NULL);
INSERT INTO "ledger" VALUES('18f3b487');
CREATE UNIQUE INDEX one_job_a_tag ON jobs (tag) WHERE state != 'surplus';
CREATE INDEX jobs_of_a_key ON jobs (key, chunk, attempt);
COMMIT;
PRAGMA user_version = 1;
