/* keytab_bytes - see keytab_bytes.h. */
#include "kpropctl/krb5/keytab_bytes.h"

static bool
add_u16(struct buffer *out, size_t value)
{
    return value <= UINT16_MAX && buffer_add_u8(out, (uint8_t)(value >> 8)) &&
           buffer_add_u8(out, (uint8_t)value);
}

static bool
add_data(struct buffer *out, const void *data, size_t len)
{
    return add_u16(out, len) && buffer_add(out, data, len);
}

static size_t
entry_length(krb5_const_principal principal, const krb5_keyblock *key)
{
    size_t len = 2 + 2 + principal->realm.length;

    for (krb5_int32 i = 0; i < principal->length; i++)
        len += 2 + principal->data[i].length;
    return len + 4 + 4 + 1 + 2 + 2 + key->length + 4;
}

bool
keytab_bytes_begin(struct buffer *out)
{
    return add_u16(out, 0x502);
}

bool
keytab_bytes_add(struct buffer *out, krb5_const_principal principal, unsigned kvno, uint32_t time,
                 const krb5_keyblock *key)
{
    bool ok = buffer_add_u32(out, (uint32_t)entry_length(principal, key)) &&
              add_u16(out, (size_t)principal->length) &&
              add_data(out, principal->realm.data, principal->realm.length);

    for (krb5_int32 i = 0; ok && i < principal->length; i++)
        ok = add_data(out, principal->data[i].data, principal->data[i].length);
    return ok && buffer_add_u32(out, (uint32_t)principal->type) && buffer_add_u32(out, time) &&
           buffer_add_u8(out, (uint8_t)kvno) && add_u16(out, (size_t)key->enctype) &&
           add_data(out, key->contents, key->length) && buffer_add_u32(out, kvno);
}
