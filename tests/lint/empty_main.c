/* A program of nothing, to link a room's whole archive with: see "link test" in CMakeLists.txt. */
int main(void)
{
    return 0;
}
