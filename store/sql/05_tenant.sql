-- The tenant of a transaction. Row-level security shows the rows of the tenant that is set; a function that sets another
-- one because its caller passed a wrong argument would open the wall that is meant to catch exactly this.

create or replace function take_tenant(p_tenant text) returns void language plpgsql as $$
declare
    held text := coalesce(current_setting('countersign.tenant', true), '');
begin
    if held not in ('', p_tenant) then
        raise exception 'this transaction is of tenant %, not of %', held, p_tenant
            using errcode = 'insufficient_privilege', hint = 'one transaction serves one tenant: begin another';
    end if;
    perform set_config('countersign.tenant', p_tenant, true);
end $$;
