-- Gives the audit trail to a role of its own that nobody logs in as, so that the program may add to it and nothing else. Run once, as a
-- superuser, after the program has started for the first time:
--
--   psql "$DATABASE_URL_OF_A_SUPERUSER" -v app=millrace -v owner=millrace_audit -f docs/audit-owner.sql
--
-- `app` is the role in DATABASE_URL, which must be no superuser.

begin;

create role :"owner" nologin;
grant usage, create on schema public to :"owner";

alter table audit_entry owner to :"owner";
alter table audit_seal owner to :"owner";
alter table audit_checkpoint owner to :"owner";
alter function audit_is_append_only() owner to :"owner";
alter function audit_entry_may_go() owner to :"owner";
alter function audit_seal_may_go() owner to :"owner";
alter function audit_checkpoint_moves_on() owner to :"owner";
alter function audit_cut(text, bigint, bytea, bytea) owner to :"owner";

revoke create on schema public from :"owner";

revoke all on audit_entry, audit_seal, audit_checkpoint from public, :"app";
grant select, insert on audit_entry, audit_seal to :"app";
grant select on audit_checkpoint to :"app";
grant select on sequence audit_entry_seq_seq to :"app";
revoke all on function audit_cut(text, bigint, bytea, bytea) from public;
grant execute on function audit_cut(text, bigint, bytea, bytea) to :"app";

commit;
