-- Uses of standing approvals, counted where the call is admitted. `p_use` is what the gate verified and decided on:
-- standing_id, digest, number, max_uses, total_minor, until_s, amount_minor.

drop function if exists hold_standing;
create function hold_standing(p_tenant text, p_run text, p_step int, p_call int, p_use json) returns boolean
language plpgsql as $$
    -- Whether it still holds for this call, as use number so and so. From then on, until the transaction ends, nobody
    -- revokes it and no other call is counted.
declare
    s standing_approvals;
    used bigint;
    moved numeric;
begin
    perform take_tenant(p_tenant);
    select * into s from standing_approvals r where r.tenant = p_tenant and r.standing_id = p_use ->> 'standing_id'
        for update;
    if s.state is distinct from 'granted' or s.digest <> p_use ->> 'digest'
        or clock_timestamp() >= to_timestamp((p_use ->> 'until_s')::bigint) then return false; end if;
    -- Another attempt or visit of a call that was counted is not another use.
    perform 1 from standing_uses u where u.tenant = p_tenant and u.standing_id = s.standing_id
        and u.number = (p_use ->> 'number')::int and u.run_id = p_run and u.step = p_step and u.call = p_call;
    if found then return true; end if;
    perform 1 from standing_uses u where u.tenant = p_tenant and u.run_id = p_run and u.step = p_step and u.call = p_call;
    if found then return false; end if;
    select count(*), coalesce(sum(u.amount_minor), 0) into used, moved from standing_uses u
        where u.tenant = p_tenant and u.standing_id = s.standing_id;
    return (p_use ->> 'number')::int = used + 1 and used < (p_use ->> 'max_uses')::int
        and moved + (p_use ->> 'amount_minor')::bigint <= (p_use ->> 'total_minor')::bigint;
end $$;

drop function if exists use_standing;
create function use_standing(p_tenant text, p_run text, p_step int, p_call int, p_use json) returns void
language plpgsql as $$
    -- Count the call that `hold_standing` held and that is admitted now.
begin
    perform take_tenant(p_tenant);
    insert into standing_uses (tenant, standing_id, number, run_id, step, call, amount_minor)
        values (p_tenant, p_use ->> 'standing_id', (p_use ->> 'number')::int, p_run, p_step, p_call,
            (p_use ->> 'amount_minor')::bigint)
        on conflict do nothing;
end $$;
